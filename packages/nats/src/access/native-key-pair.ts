// An NKey whose mathematics Node does itself.
//
// `@nats-io/nkeys` computes Ed25519 in JavaScript, and anew for each question: 60 to 140 ms of a replica's loop for the
// credentials of one worker, half a second and more where ten are started. OpenSSL takes a tenth of a millisecond.
import { createPrivateKey, createPublicKey, type KeyObject, randomBytes, sign, verify } from 'node:crypto';
import { fromSeed, type KeyPair, Prefix } from '@nats-io/nkeys';
// Not a part of what the package says that it exports; its version is pinned.
import { Codec } from '@nats-io/nkeys/lib/codec.js';

/** PKCS #8 of an Ed25519 key, up to its 32 bytes (RFC 8410). */
const PKCS8_HEAD = Buffer.from('302e020100300506032b657004220420', 'hex');
/** SPKI of a public one ends with its 32 bytes. */
const PUBLIC_BYTES = 32;

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** A new key of a user. */
export function createUserKey(): KeyPair {
  return new NativeKeyPair(Codec.encodeSeed(Prefix.User, randomBytes(32)));
}

/** The key of a seed. @throws Error where it is not one */
export function keyOfSeed(seed: string): KeyPair {
  const bytes = new TextEncoder().encode(seed);
  fromSeed(bytes);
  return new NativeKeyPair(bytes);
}

class NativeKeyPair implements KeyPair {
  readonly #seed: Uint8Array;
  readonly #private: KeyObject;
  readonly #public: KeyObject;
  readonly #publicName: string;
  readonly #raw: Uint8Array;

  constructor(seed: Uint8Array) {
    const { buf, prefix } = Codec.decodeSeed(seed);
    this.#seed = seed;
    this.#private = createPrivateKey({ key: Buffer.concat([PKCS8_HEAD, buf]), format: 'der', type: 'pkcs8' });
    this.#public = createPublicKey(this.#private);
    const spki = this.#public.export({ format: 'der', type: 'spki' });
    const point = new Uint8Array(spki.subarray(-PUBLIC_BYTES));
    this.#publicName = text(Codec.encode(prefix, point));
    this.#raw = new Uint8Array([...buf, ...point]);
  }

  getPublicKey(): string {
    return this.#publicName;
  }

  getPrivateKey(): Uint8Array {
    return Codec.encode(Prefix.Private, this.#raw);
  }

  getSeed(): Uint8Array {
    return this.#seed;
  }

  sign(input: Uint8Array): Uint8Array {
    return sign(null, input, this.#private);
  }

  verify(input: Uint8Array, signature: Uint8Array): boolean {
    return verify(null, input, this.#public, signature);
  }

  clear(): void {
    this.#seed.fill(0);
    this.#raw.fill(0);
  }

  seal(): never {
    throw new Error('this key signs, and seals nothing');
  }

  open(): never {
    throw new Error('this key signs, and opens nothing');
  }
}
