/** The only source of chance, so that a simulation can replay it. */
export interface Random {
  /** A number in [0, 1). */
  next(): number;
  /** A new id of `length` characters out of 0-9a-z (5 bits each and a little; default 16). */
  id(length?: number): string;
}
