import { MusterError, subjects } from '@muster/protocol';
import type { NatsJournal } from './nats-journal.ts';

const ROUNDS = 10;
const RACERS = 6;
const TIMEOUT_MS = 5000;
/** A shard that holds no records; its one part is gone when the race is over. */
const PROBE_SHARD = 'probe';

/**
 * Lets several conditional writes race for one position, again and again, on a subject of their own in the stream.
 * @throws MusterError `unsafe-server` where more than one wins, `journal-unavailable` where none gets an answer
 */
export async function assertOneWinner(journal: Pick<NatsJournal, 'appendTo' | 'deletePart'>, cluster: string, part: string): Promise<void> {
  const subject = subjects.part(cluster, PROBE_SHARD, part);
  let expectedSeq = 0;
  try {
    for (let round = 1; round <= ROUNDS; round++) {
      const outcomes = await Promise.all(
        Array.from({ length: RACERS }, (_, racer) =>
          journal.appendTo(subject, Uint8Array.of(racer), { expectedSeq, rollup: true, timeoutMs: TIMEOUT_MS }),
        ),
      );
      const won = outcomes.filter((outcome) => outcome.kind === 'stored');
      if (won.length > 1) {
        throw new MusterError(
          'unsafe-server',
          `${won.length} of ${RACERS} writes on the condition that ${expectedSeq} is last were stored (round ${round}): this NATS cannot fence`,
        );
      }
      const [winner] = won;
      if (winner === undefined) {
        throw new MusterError('journal-unavailable', `no conditional write was stored: ${JSON.stringify(outcomes[0])}`);
      }
      expectedSeq = winner.seq;
    }
  } finally {
    await journal.deletePart(PROBE_SHARD, part);
  }
}
