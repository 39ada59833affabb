/** One message as received. */
export interface BusMessage {
  readonly subject: string;
  readonly data: Uint8Array;
  /** True when the sender waits for an answer. */
  readonly expectsReply: boolean;
  readonly headers?: Readonly<Record<string, string>>;
  /** Answers the sender, at most once delivered; nothing happens when it does not wait, or the link is down. */
  respond(data: Uint8Array): void;
}

/** Something that was started and can be ended. */
export interface Subscription {
  /** Ends it; no call of the handler starts after this one returns. */
  unsubscribe(): void;
}

/** A subscription to messages, which can also end in order. */
export interface MessageSubscription extends Subscription {
  /**
   * Takes nothing new; resolves when what was on its way has been given to the handler, or can come no more. Never rejects.
   */
  drain(): Promise<void>;
}

export interface PublishOptions {
  readonly headers?: Readonly<Record<string, string>>;
}
export interface RequestOptions extends PublishOptions {
  readonly timeoutMs: number;
}

/** One endpoint of a service; every process that serves it shares the requests. */
export interface ServiceEndpoint {
  readonly name: string;
  readonly subject: string;
  handler(message: BusMessage): void;
}
export interface ServiceDescription {
  readonly name: string;
  /** Semantic version, as `nats micro` wants it. */
  readonly version: string;
  readonly description: string;
  readonly endpoints: readonly ServiceEndpoint[];
}

/**
 * Subjects, at most once, in order between one sender and one receiver: core NATS.
 *
 * While disconnected `publish` drops and `request` fails at once; nothing is buffered for later.
 */
export interface MessageBus {
  /** The largest message, bytes. */
  readonly payloadBytesMax: number;
  readonly isConnected: boolean;
  /** Sends, and forgets. @throws MusterError `payload-too-large` */
  publish(subject: string, data: Uint8Array, options?: PublishOptions): void;
  /**
   * Sends, and gives the first answer.
   * @throws MusterError `no-responders` (nobody subscribes: not delivered), `timeout` (outcome unknown),
   * `disconnected` (outcome unknown), `payload-too-large`
   */
  request(subject: string, data: Uint8Array, options: RequestOptions): Promise<BusMessage>;
  /** `*` stands for one token, `>` for the rest. With a queue each message goes to one of its members. */
  subscribe(subject: string, handler: (message: BusMessage) => void, options?: { readonly queue?: string }): MessageSubscription;
  /** Subscribes endpoints as members of one service (`nats micro ls|info|stats`). */
  serve(service: ServiceDescription): Promise<MessageSubscription>;
  /** Calls back on every change of the link. */
  onStatus(listener: (status: 'connected' | 'disconnected') => void): Subscription;
  /** Resolves when the server has seen all that was published and subscribed before. @throws MusterError `timeout`, `disconnected` */
  flush(): Promise<void>;
  /** Closes the link; every later call throws or drops. */
  close(): Promise<void>;
}
