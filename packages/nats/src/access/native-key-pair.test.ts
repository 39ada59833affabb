import { createAccount, createUser, fromPublic, fromSeed } from '@nats-io/nkeys';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { formatCredentials, parseCredentials } from './credentials-file.ts';
import { createUserKey, keyOfSeed } from './native-key-pair.ts';

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** Another character in the middle: the last one has bits that say nothing. */
function damage(seed: string): string {
  return `${seed.slice(0, 20)}${seed[20] === 'A' ? 'B' : 'A'}${seed.slice(21)}`;
}

it('is the same key as the library makes of its seed, and signs the same', () => {
  for (const theirs of [createUser(), createAccount()]) {
    const ours = keyOfSeed(text(theirs.getSeed()));
    expect(ours.getPublicKey()).toBe(theirs.getPublicKey());
    expect(text(ours.getPrivateKey())).toBe(text(theirs.getPrivateKey()));
    expect(text(ours.getSeed())).toBe(text(theirs.getSeed()));
    const words = new TextEncoder().encode('words');
    expect(Buffer.from(ours.sign(words)).equals(theirs.sign(words))).toBe(true);
    expect(ours.verify(words, theirs.sign(words))).toBe(true);
    expect(ours.verify(new TextEncoder().encode('others'), theirs.sign(words))).toBe(false);
  }
});

it('makes keys of users that the library knows how to read, each another', () => {
  const [one, other] = [createUserKey(), createUserKey()];
  expect(one.getPublicKey()).toMatch(/^U/);
  expect(one.getPublicKey()).not.toBe(other.getPublicKey());
  expect(fromSeed(one.getSeed()).getPublicKey()).toBe(one.getPublicKey());
  const words = new TextEncoder().encode('words');
  expect(fromPublic(one.getPublicKey()).verify(words, one.sign(words))).toBe(true);
});

it('refuses what is no seed', () => {
  fc.assert(
    fc.property(fc.string(), (words) => {
      expect(() => keyOfSeed(words)).toThrow();
    }),
    { numRuns: 50 },
  );
  const seed = text(createUser().getSeed());
  expect(() => keyOfSeed(damage(seed))).toThrow();
});

it('is a bad request in credentials whose seed was changed on the way', () => {
  const seed = text(createUser().getSeed());
  const file = formatCredentials({ title: 'one', inboxPrefix: '_INBOX', proof: { kind: 'nkey', seed: damage(seed) } });
  expect(() => parseCredentials(file)).toThrow(expect.objectContaining({ code: 'bad-request' }));
});
