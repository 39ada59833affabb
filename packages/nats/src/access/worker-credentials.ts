import { MusterError } from '@muster/protocol';
import { encodeUser } from '@nats-io/jwt';
import type { KeyPair } from '@nats-io/nkeys';
import { block, formatCredentials, parseCredentials } from './credentials-file.ts';
import { createUserKey, keyOfSeed } from './native-key-pair.ts';
import { workerInboxPrefix } from './roles.ts';

const KEY_NAME = 'WORKER SIGNING KEY';

/** What replicas are given, so that they can give each worker credentials of its own. Signs nothing but workers. */
export function formatWorkerSigningKey(title: string, account: string, seed: string): string {
  return [`# ${title}`, `# account: ${account}`, ...block(KEY_NAME, seed), ''].join('\n');
}

/**
 * Reads what workers are to be given: a key that signs credentials of their own for each slot, or credentials that they
 * share. A worker's own last as long as the key that signed them; nothing is stored for a slot, and any replica can make
 * them.
 * @throws MusterError `bad-request` where it is neither
 */
export function openWorkerCredentials(text: string): (slot: string) => Promise<string> {
  const account = /^# account: (A[A-Z2-7]{55})$/m.exec(text)?.[1];
  const seed = /^\s*(SA[A-Z2-7]{56})\s*$/m.exec(text)?.[1];
  if (account === undefined || seed === undefined) {
    parseCredentials(text);
    return async () => text;
  }
  let signer: KeyPair;
  try {
    signer = keyOfSeed(seed);
  } catch (cause) {
    throw new MusterError('bad-request', 'the key that signs credentials for workers is not one', { cause });
  }
  return async (slot) => {
    const user = createUserKey();
    // What it may do is in the account, as the template of this key.
    const jwt = await encodeUser(slot, user, signer, { issuer_account: account }, { scopedUser: true });
    return formatCredentials({
      title: `muster: the worker of slot ${slot}`,
      inboxPrefix: workerInboxPrefix(slot),
      proof: { kind: 'jwt', jwt, seed: new TextDecoder().decode(user.getSeed()) },
    });
  };
}
