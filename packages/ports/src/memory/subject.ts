/** True where the subject fits the pattern: `*` stands for one token, `>` for one or more at the end. */
export function isSubjectMatch(pattern: string, subject: string): boolean {
  if (pattern === subject) return true;
  const wanted = pattern.split('.');
  const tokens = subject.split('.');
  for (const [at, want] of wanted.entries()) {
    if (want === '>') return tokens.length > at;
    if (tokens[at] === undefined || (want !== '*' && want !== tokens[at])) return false;
  }
  return wanted.length === tokens.length;
}
