interface Node<T> {
  readonly next: Map<string, Node<T>>;
  /** Their pattern ends here. */
  readonly here: Map<T, number>;
  /** Their pattern ends here with `>`. */
  readonly below: Map<T, number>;
}

/** Patterns by their tokens: what a subject costs does not grow with how many others listen elsewhere. */
export class SubjectIndex<T> {
  readonly #root: Node<T> = makeNode();
  #added = 0;

  add(pattern: string, item: T): void {
    const { node, isOpen } = this.#find(pattern, true);
    (isOpen ? node?.below : node?.here)?.set(item, this.#added++);
  }

  delete(pattern: string, item: T): void {
    const { node, isOpen } = this.#find(pattern, false);
    (isOpen ? node?.below : node?.here)?.delete(item);
  }

  /** Whatever fits the subject, in the order in which it was added. */
  matches(subject: string): readonly T[] {
    const found: (readonly [T, number])[] = [];
    const tokens = subject.split('.');
    const visit = (node: Node<T>, at: number): void => {
      if (at === tokens.length) {
        found.push(...node.here);
        return;
      }
      found.push(...node.below);
      for (const token of [tokens[at] as string, '*']) {
        const next = node.next.get(token);
        if (next !== undefined) visit(next, at + 1);
      }
    };
    visit(this.#root, 0);
    if (found.length > 1) found.sort(([, one], [, other]) => one - other);
    return found.map(([item]) => item);
  }

  #find(pattern: string, isMade: boolean): { readonly node: Node<T> | undefined; readonly isOpen: boolean } {
    const tokens = pattern.split('.');
    const isOpen = tokens.at(-1) === '>';
    let node: Node<T> | undefined = this.#root;
    for (const token of isOpen ? tokens.slice(0, -1) : tokens) {
      let next: Node<T> | undefined = node?.next.get(token);
      if (next === undefined && isMade) node?.next.set(token, (next = makeNode()));
      node = next;
    }
    return { node, isOpen };
  }
}

function makeNode<T>(): Node<T> {
  return { next: new Map(), here: new Map(), below: new Map() };
}
