import type { Random } from '../random.ts';

const ALPHABET = '0123456789abcdefghijklmnopqrstuvwxyz';

/** The same seed gives the same numbers (sfc32, by Chris Doty-Humphrey, public domain). */
export class SeededRandom implements Random {
  #a: number;
  #b: number;
  #c: number;
  #count = 1;

  constructor(seed: number) {
    this.#a = seed | 0;
    this.#b = Math.floor(seed / 2 ** 32) | 0;
    this.#c = 0x9e3779b9 | 0;
    // Close seeds start alike; this many rounds tell them apart.
    for (let round = 0; round < 15; round++) this.next();
  }

  next(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#count) | 0;
    this.#count = (this.#count + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return (sum >>> 0) / 2 ** 32;
  }

  id(length = 16): string {
    let id = '';
    for (let at = 0; at < length; at++) id += ALPHABET[Math.floor(this.next() * ALPHABET.length)];
    return id;
  }
}
