import { isMusterError, MusterError } from '@muster/protocol';
import { askJetStream, isRefusal, JETSTREAM_ERRORS } from './jetstream-api.ts';
import type { NatsLink } from './nats-link.ts';
import type { StreamSettings } from './stream-settings.ts';

/** The copies of a stream agree on their first leader before it is there. */
const CREATE_TIMEOUT_MS = 10_000;

export interface StreamInfo {
  readonly config: Readonly<Record<string, unknown>>;
}

type Link = Pick<NatsLink, 'exchange'>;

/**
 * The stream of this name; made where it is not there. Several may do this at the same moment: one stream comes of it, with
 * the settings of one of them, which the caller compares.
 * @throws JetStreamRefusal; MusterError `journal-unavailable`, `unauthorized`
 */
export async function findOrCreateStream(link: Link, wanted: StreamSettings): Promise<StreamInfo> {
  const there = await tryInfo(link, wanted.name);
  if (there !== undefined) return there;
  try {
    return await askJetStream<StreamInfo>(link, `STREAM.CREATE.${wanted.name}`, wanted, CREATE_TIMEOUT_MS);
  } catch (error) {
    // Somebody else was faster. A server that has begun with the other's stream may compare the subjects before the name.
    const isTaken = isRefusal(error, JETSTREAM_ERRORS.streamNameInUse) || isRefusal(error, JETSTREAM_ERRORS.subjectsOverlap);
    const others = isTaken ? await tryInfo(link, wanted.name) : undefined;
    if (others !== undefined) return others;
    if (!isMusterError(error, 'unauthorized')) throw error;
    const message = `${wanted.name} is not there, and this NATS user may not make it: run muster nats-setup first`;
    throw new MusterError('unauthorized', message, { cause: error });
  }
}

async function tryInfo(link: Link, name: string): Promise<StreamInfo | undefined> {
  try {
    return await askJetStream<StreamInfo>(link, `STREAM.INFO.${name}`);
  } catch (error) {
    if (isRefusal(error, JETSTREAM_ERRORS.streamNotFound)) return undefined;
    throw error;
  }
}
