// `muster.v1.admin`: reads for people, and administration, answered by any replica.
import { BUDGETS } from '@muster/domain';
import type { BusMessage, MessageBus, ServiceEndpoint, WorkerDriver } from '@muster/ports';
import {
  type AdminRequest,
  adminRequestSchema,
  decodeAs,
  type ErrorAnswer,
  encode,
  JANITOR_SHARD,
  MusterError,
  parseClusterConfig,
  subjects,
  tryShardOf,
} from '@muster/protocol';
import type { Runtime } from '@muster/runtime';
import type { ClusterView } from './cluster-view.ts';
import { answering } from './reserve-gateway.ts';

export class AdminGateway {
  readonly #runtime: Runtime;
  readonly #view: ClusterView;
  readonly #drivers: readonly WorkerDriver[];
  readonly #cluster: string;
  readonly #bus: MessageBus;

  constructor(options: {
    readonly runtime: Runtime;
    readonly view: ClusterView;
    readonly drivers: readonly WorkerDriver[];
    readonly cluster: string;
    readonly bus: MessageBus;
  }) {
    this.#runtime = options.runtime;
    this.#view = options.view;
    this.#drivers = options.drivers;
    this.#cluster = options.cluster;
    this.#bus = options.bus;
  }

  endpoints(): readonly ServiceEndpoint[] {
    return [{ name: 'admin', subject: subjects.admin(), handler: (message) => void answering(message, () => this.#answer(message)) }];
  }

  async #answer(message: BusMessage): Promise<unknown> {
    const request = decodeAs(adminRequestSchema, message.data);
    switch (request.type) {
      case 'status':
        return this.#view.status();
      case 'pools':
        return this.#view.pools();
      case 'slots':
        return this.#view.slots(request);
      case 'reservations':
        return this.#view.reservations(request);
      case 'orgs':
        return this.#view.orgs(request.page);
      case 'hosts':
        return this.#view.hosts();
      case 'intents':
        return this.#view.intents(request);
      case 'explain':
        return this.#view.explain(request);
      case 'hold': {
        const holdMs = request.holdMs ?? BUDGETS.holdMs;
        await this.#ask(JANITOR_SHARD, { type: 'hold', pool: request.pool, holdMs });
        return { ok: true, pool: request.pool, holdLeftMs: holdMs };
      }
      case 'pause':
        await this.#ask(JANITOR_SHARD, { type: 'pause', pool: request.pool });
        return { ok: true, pool: request.pool };
      case 'resume':
        await this.#ask(JANITOR_SHARD, { type: 'resume', pool: request.pool });
        return { ok: true, pool: request.pool, holdLeftMs: 0 };
      case 'drain':
        return this.#drain(request);
      case 'apply':
        return this.#apply(request.yaml);
      case 'forget-host': {
        if (this.#drivers.some((driver) => driver.describe().some((host) => host.host === request.host && !host.isSilent))) {
          throw new MusterError('conflict', `host ${request.host} is alive`, { field: 'host' });
        }
        // To every replica, this one too: each owner asks its own driver.
        this.#bus.publish(subjects.hostForgotten(request.host), encode({}));
        return { ok: true, host: request.host };
      }
    }
  }

  async #drain({ slot, force }: Extract<AdminRequest, { type: 'drain' }>): Promise<unknown> {
    const shard = tryShardOf(slot);
    if (shard === undefined || this.#runtime.shadow(shard) === undefined) {
      throw new MusterError('not-found', `there is no slot ${slot}`, { field: 'slot' });
    }
    await this.#ask(shard, { type: 'drain', slot, force });
    return { ok: true, slot };
  }

  async #apply(yaml: string): Promise<unknown> {
    const { config, cluster, warnings } = parseClusterConfig(yaml);
    if (cluster.name !== this.#cluster) {
      throw new MusterError('conflict', `the configuration is of cluster ${cluster.name}, this is ${this.#cluster}`, {
        field: 'cluster.name',
      });
    }
    const { version, isChanged } = (await this.#ask(JANITOR_SHARD, { type: 'apply', config })) as { version: number; isChanged: boolean };
    return { ok: true, configVersion: version, isChanged, warnings };
  }

  /** @throws MusterError with the code of the shard's refusal */
  async #ask(shard: string, body: unknown): Promise<unknown> {
    const { value } = await this.#runtime.ask(shard, body, { timeoutMs: BUDGETS.askMs });
    const answer = value as { readonly ok: true } | ErrorAnswer;
    if (answer.ok) return answer;
    const { code, message, field } = answer.error;
    throw new MusterError(code as MusterError['code'], message, field === undefined ? {} : { field });
  }
}
