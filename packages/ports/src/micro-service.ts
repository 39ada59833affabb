// A NATS micro service (ADR-32) on any message bus: what `nats micro ls|info|stats` asks for.
//
// Owns the subscriptions of one service instance and its counts. Errors are not counted from the answers: what a Muster
// endpoint refuses is in its metrics, by reason.
import { encode } from '@muster/protocol';
import type { Clock } from './clock.ts';
import type { BusMessage, MessageBus, MessageSubscription, ServiceDescription, ServiceEndpoint } from './message-bus.ts';
import type { Random } from './random.ts';

/** The queue group that all instances of a service share, as `nats micro` expects it. */
export const SERVICE_QUEUE = 'q';

interface EndpointStats {
  readonly endpoint: ServiceEndpoint;
  requests: number;
  processingMs: number;
}

/**
 * Subscribes the endpoints, and answers `$SRV.PING|INFO|STATS`, for all services, this name, and this instance.
 * Processing time runs from the handler's call to its answer.
 */
export async function serveMicro(
  bus: MessageBus,
  service: ServiceDescription,
  tools: { readonly clock: Clock; readonly random: Random },
): Promise<MessageSubscription> {
  const { clock } = tools;
  const started = new Date(clock.wallMs()).toISOString();
  const identity = { name: service.name, id: tools.random.id(22), version: service.version, metadata: {} };
  const stats: EndpointStats[] = service.endpoints.map((endpoint) => ({ endpoint, requests: 0, processingMs: 0 }));
  const subscriptions: MessageSubscription[] = [];

  const answers: Record<string, () => object> = {
    PING: () => ({ type: 'io.nats.micro.v1.ping_response', ...identity }),
    INFO: () => ({
      type: 'io.nats.micro.v1.info_response',
      ...identity,
      description: service.description,
      endpoints: service.endpoints.map(({ name, subject }) => ({ name, subject, queue_group: SERVICE_QUEUE, metadata: {} })),
    }),
    STATS: () => ({
      type: 'io.nats.micro.v1.stats_response',
      ...identity,
      started,
      endpoints: stats.map(({ endpoint, requests, processingMs }) => ({
        name: endpoint.name,
        subject: endpoint.subject,
        queue_group: SERVICE_QUEUE,
        num_requests: requests,
        num_errors: 0,
        last_error: '',
        processing_time: Math.round(processingMs * 1e6),
        average_processing_time: requests === 0 ? 0 : Math.round((processingMs * 1e6) / requests),
      })),
    }),
  };
  for (const [verb, answer] of Object.entries(answers)) {
    for (const subject of [`$SRV.${verb}`, `$SRV.${verb}.${service.name}`, `$SRV.${verb}.${service.name}.${identity.id}`]) {
      subscriptions.push(bus.subscribe(subject, (message) => message.respond(encode(answer()))));
    }
  }
  for (const stat of stats) {
    const count = (message: BusMessage): void => stat.endpoint.handler(new CountedMessage(message, stat, clock));
    subscriptions.push(bus.subscribe(stat.endpoint.subject, count, { queue: SERVICE_QUEUE }));
  }
  return {
    unsubscribe: () => {
      for (const subscription of subscriptions) subscription.unsubscribe();
    },
    drain: async () => {
      await Promise.all(subscriptions.map((subscription) => subscription.drain()));
    },
  };
}

class CountedMessage implements BusMessage {
  readonly #inner: BusMessage;
  readonly #stat: EndpointStats;
  readonly #clock: Clock;
  readonly #sinceMs: number;

  constructor(inner: BusMessage, stat: EndpointStats, clock: Clock) {
    this.#inner = inner;
    this.#stat = stat;
    this.#clock = clock;
    this.#sinceMs = clock.monotonicMs();
    stat.requests += 1;
  }

  get subject(): string {
    return this.#inner.subject;
  }
  get data(): Uint8Array {
    return this.#inner.data;
  }
  get expectsReply(): boolean {
    return this.#inner.expectsReply;
  }
  get headers(): Readonly<Record<string, string>> {
    return this.#inner.headers ?? {};
  }
  respond(data: Uint8Array): void {
    this.#stat.processingMs += this.#clock.monotonicMs() - this.#sinceMs;
    this.#inner.respond(data);
  }
}
