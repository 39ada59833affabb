import { randomFillSync } from 'node:crypto';
import type { Random } from '../random.ts';

const ALPHABET = '0123456789abcdefghijklmnopqrstuvwxyz';
/** The largest multiple of the alphabet's size in a byte: bytes from here on would make some characters more likely. */
const UNBIASED = 252;

/** Chance from the operating system: ids cannot be guessed. */
export class SystemRandom implements Random {
  readonly #bytes = new Uint8Array(4096);
  #at = 4096;

  next(): number {
    return Math.random();
  }

  id(length = 16): string {
    let id = '';
    while (id.length < length) {
      const byte = this.#byte();
      if (byte < UNBIASED) id += ALPHABET[byte % ALPHABET.length];
    }
    return id;
  }

  #byte(): number {
    if (this.#at === this.#bytes.length) {
      randomFillSync(this.#bytes);
      this.#at = 0;
    }
    return this.#bytes[this.#at++] as number;
  }
}
