// Workers that know nothing of Muster are told over HTTP what the others are told over NATS (DESIGN 8, contract `probe`).
import type { ProbeSpec } from '@muster/domain';
import type { HttpCaller } from '@muster/ports';
import type { WorkerAnswer, WorkerCommand } from '@muster/protocol';

const WORDS_MAX = 500;

export class ProbedWorkers {
  readonly #http: HttpCaller | undefined;

  constructor(http: HttpCaller | undefined) {
    this.#http = http;
  }

  /** Never rejects: what is not an answer is a failure of the worker. */
  async tell(probe: ProbeSpec, endpoint: string | null, command: WorkerCommand, timeoutMs: number): Promise<WorkerAnswer> {
    const path = pathOf(probe, command.type);
    if (path === undefined) {
      // Nobody wanted it to be told; a reset that nobody does is none.
      return command.type === 'reset' ? failed('the worker cannot forget an org: probe.reset is not set') : { ok: true };
    }
    if (this.#http === undefined || endpoint === null) return failed('this replica cannot call workers');
    const { type: _type, instance: _instance, ...body } = command;
    try {
      const { status, text } = await this.#http.post(`${endpoint}${path}`, body, timeoutMs);
      if (status >= 200 && status < 300) return { ok: true };
      const message = `HTTP ${status}: ${text.trim().slice(0, WORDS_MAX)}`;
      const isOfRequest = status >= 400 && status < 500 && status !== 408 && status !== 429;
      return isOfRequest ? { ok: false, cause: 'request', message } : failed(message);
    } catch (error) {
      return failed(error instanceof Error ? error.message : String(error));
    }
  }
}

function pathOf(probe: ProbeSpec, type: WorkerCommand['type']): string | undefined {
  return type === 'activate' || type === 'release' || type === 'reset' ? probe[type] : undefined;
}

function failed(message: string): WorkerAnswer {
  return { ok: false, cause: 'worker', message };
}
