import { errorOf } from '@muster/client';
import type { MessageBus } from '@muster/ports';
import { type AdminAnswers, type AdminRequestInput, decode, type ErrorAnswer, encode, subjects } from '@muster/protocol';

const TIMEOUT_MS = 10_000;

/**
 * Asks any replica.
 * @throws MusterError with the answer's code, or `no-responders`, `timeout`, `disconnected`
 */
export async function askAdmin<R extends AdminRequestInput>(
  bus: MessageBus,
  request: R,
  timeoutMs = TIMEOUT_MS,
): Promise<AdminAnswers[R['type']]> {
  const message = await bus.request(subjects.admin(), encode(request), { timeoutMs });
  const answer = decode(message.data) as AdminAnswers[R['type']] | ErrorAnswer;
  if (!answer.ok) throw errorOf(answer.error);
  return answer;
}
