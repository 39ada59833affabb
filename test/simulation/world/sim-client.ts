// One application process with the real client SDK, and its tenants: what they ask for, are told, hold and use.
import { MusterClient, type Reservation } from '@muster/client';
import { type Random, silentLogger } from '@muster/ports';
import { decode, encode, isMusterError, type Reservation as Grant, type ReserveAnswer, subjects } from '@muster/protocol';
import type { Machine } from './machine.ts';

/** One request as its client knows it. */
export interface ClientRequest {
  readonly client: string;
  readonly org: string;
  readonly pool: string;
  /** Undefined: the product makes one for each try. */
  readonly requestId: string | undefined;
  /** The SDK asks, and keeps what it gets: it renews until it is told that it has ended. */
  readonly isKept: boolean;
}

/** Told of what clients do and are told: the ground truth of who was promised what. */
export interface ClientWitness {
  asked(request: ClientRequest): void;
  /** `answer` undefined: none came, the outcome is unknown to the client. */
  told(request: ClientRequest, answer: ReserveAnswer | undefined): void;
  /** It was told that it holds it no longer. */
  lost(request: ClientRequest, grant: Grant, reason: string): void;
  /** It gives it back, or stops caring. */
  letGo(request: ClientRequest, grant: Grant): void;
  /** It calls its worker. */
  used(request: ClientRequest, grant: Grant): void;
}

/** How a simulation's tenants behave. */
export interface Habits {
  readonly pools: readonly string[];
  readonly orgs: readonly string[];
  readonly tenantsPerClient: number;
  readonly waitMaxMs: number;
  readonly holdMaxMs: number;
  readonly pauseMaxMs: number;
  readonly ttlMs: number;
}

export interface SimClientOptions {
  readonly machine: Machine;
  readonly random: Random;
  readonly witness: ClientWitness;
  readonly habits: Habits;
  readonly count: (kind: string) => void;
  /** No new requests: tenants finish what they have. */
  readonly isClosing: () => boolean;
}

/** What a grant is to the tenant that holds it. */
interface Holding {
  readonly grant: Grant;
  isLost(): boolean;
  release(): Promise<void>;
}

const USE_MS = 700;
const GIVE_UP_MS = 25_000;

export class SimClient {
  readonly machine: Machine;
  /** Tenants that have something under way. */
  busy = 0;
  readonly #options: SimClientOptions;
  readonly #sdk: MusterClient;
  #requests = 0;

  constructor(options: SimClientOptions) {
    this.#options = options;
    const { machine } = options;
    this.machine = machine;
    this.#sdk = new MusterClient({ bus: machine.bus, clock: machine.clock, random: machine.random, logger: silentLogger });
  }

  start(): void {
    for (let n = 0; n < this.#options.habits.tenantsPerClient; n += 1) void this.#live();
  }

  async #live(): Promise<void> {
    const { random, habits, isClosing } = this.#options;
    await this.#pass(random.next() * habits.pauseMaxMs);
    while (!isClosing()) {
      this.busy += 1;
      await this.#visit();
      this.busy -= 1;
      await this.#pass(random.next() * habits.pauseMaxMs);
    }
  }

  /** One request, what comes of it, and its end. */
  async #visit(): Promise<void> {
    const { random, habits, machine } = this.#options;
    const hasId = random.next() < 0.85;
    const way = random.next();
    const request: ClientRequest = {
      client: machine.name,
      org: habits.orgs[Math.floor(random.next() * habits.orgs.length)] ?? 'a',
      pool: habits.pools[Math.floor(random.next() * habits.pools.length)] ?? 'p',
      requestId: hasId ? `${machine.name}-${this.#requests++}-${machine.random.id(24)}` : undefined,
      isKept: way < 0.6,
    };
    const waitMs = random.next() < 0.4 ? 0 : Math.floor(random.next() * habits.waitMaxMs);
    if (request.isKept) return this.#insist(request, () => this.#bySdk(request, waitMs, random.next() < 0.1));
    if (way < 0.9) return this.#insist(request, () => this.#byPlainNats(request, waitMs));
    return this.#forget(request, waitMs);
  }

  /** Tries until it has one, or has had enough. */
  async #insist(request: ClientRequest, ask: () => Promise<Holding | { readonly retryAfterMs: number } | undefined>): Promise<void> {
    const { random, habits, machine, isClosing } = this.#options;
    const untilMs = machine.clock.monotonicMs() + GIVE_UP_MS;
    for (;;) {
      const got = await ask();
      if (got === undefined) return;
      if ('grant' in got) return this.#hold(request, got, machine.clock.monotonicMs() + random.next() * habits.holdMaxMs);
      if (isClosing() || machine.clock.monotonicMs() > untilMs) return;
      await this.#pass(Math.min(got.retryAfterMs, 3_000) * (0.3 + random.next()));
    }
  }

  async #hold(request: ClientRequest, holding: Holding, untilMs: number): Promise<void> {
    const { machine, witness, isClosing } = this.#options;
    while (!holding.isLost() && machine.clock.monotonicMs() < untilMs && !isClosing()) {
      witness.used(request, holding.grant);
      await this.#pass(USE_MS);
    }
    if (holding.isLost()) return;
    witness.letGo(request, holding.grant);
    await holding.release();
  }

  async #bySdk(
    request: ClientRequest,
    waitMs: number,
    isImpatient: boolean,
  ): Promise<Holding | { readonly retryAfterMs: number } | undefined> {
    const { witness, random, habits, machine } = this.#options;
    const { org, pool, requestId } = request;
    const giveUp = new AbortController();
    if (isImpatient) machine.clock.setTimer(random.next() * 1_500, () => giveUp.abort(new Error('the tenant gave up')));
    witness.asked(request);
    let reservation: Reservation;
    try {
      reservation = await this.#sdk.reserve(pool, {
        org,
        waitMs,
        ttlMs: habits.ttlMs,
        signal: giveUp.signal,
        activation: { secret: org },
        ...(requestId === undefined ? {} : { requestId }),
      });
    } catch (error) {
      const miss = (error as { readonly miss?: { readonly reason: never; readonly retryAfterMs: number } }).miss;
      witness.told(request, miss === undefined ? undefined : { ok: false, miss });
      const isEnded = isImpatient || isMusterError(error, 'ended');
      return isEnded ? undefined : { retryAfterMs: miss?.retryAfterMs ?? 1_000 };
    }
    const { id, slot, epoch, endpoint, token, ttlMs } = reservation;
    const grant: Grant = { id, slot, org, epoch, endpoint, token, subject: subjects.reservation(id), ttlMs };
    witness.told(request, { ok: true, reservation: grant, source: reservation.source, waitedMs: reservation.waitedMs });
    reservation.onLost((reason) => witness.lost(request, grant, reason));
    return {
      grant,
      isLost: () => reservation.lostReason !== undefined,
      release: async () => {
        await reservation.release().catch(() => undefined);
      },
    };
  }

  async #byPlainNats(request: ClientRequest, waitMs: number): Promise<Holding | { readonly retryAfterMs: number } | undefined> {
    const { witness, habits, machine } = this.#options;
    const { org, pool, requestId } = request;
    const body = { org, waitMs, ttlMs: habits.ttlMs, ...(requestId === undefined ? {} : { requestId }) };
    witness.asked(request);
    const answer = (await this.#ask(subjects.reserve(pool), body, waitMs + 8_000)) as ReserveAnswer | undefined;
    witness.told(request, answer);
    if (answer === undefined) return { retryAfterMs: 500 };
    if (!answer.ok) return 'miss' in answer ? { retryAfterMs: answer.miss.retryAfterMs } : undefined;
    const { reservation: grant } = answer;
    const ref = { id: grant.id, epoch: grant.epoch };
    let isLost = false;
    let isOver = false;
    const lose = (reason: string): void => {
      if (isLost || isOver) return;
      isLost = true;
      witness.lost(request, grant, reason);
    };
    const news = machine.bus.subscribe(subjects.reservationLost(grant.id), () => lose('news'));
    const renew = async (): Promise<void> => {
      if (isLost || isOver) return;
      const renewed = (await this.#ask(subjects.renew(), ref, grant.ttlMs / 4)) as RefAnswer | undefined;
      if (renewed?.ok === false && (renewed.error.code === 'ended' || renewed.error.code === 'stale-epoch')) lose(renewed.error.code);
      machine.clock.setTimer(grant.ttlMs / 5, () => void renew());
    };
    machine.clock.setTimer(grant.ttlMs / 5, () => void renew());
    return {
      grant,
      isLost: () => isLost,
      release: async () => {
        isOver = true;
        news.unsubscribe();
        for (let tries = 0; tries < 4; tries += 1) {
          if ((await this.#ask(subjects.release(), ref, 3_000)) !== undefined) return;
        }
      },
    };
  }

  /** Asks, and never comes back: what it was given ends by its lease. */
  async #forget(request: ClientRequest, waitMs: number): Promise<void> {
    const { witness, habits, count } = this.#options;
    count('client forgets what it asked for');
    const { org, pool, requestId } = request;
    witness.asked(request);
    const answer = await this.#sdk
      .tryReserve(pool, { org, waitMs, ttlMs: habits.ttlMs, ...(requestId === undefined ? {} : { requestId }) })
      .catch(() => undefined);
    witness.told(request, answer);
    if (answer?.ok === true) witness.letGo(request, answer.reservation);
  }

  async #ask(subject: string, body: unknown, timeoutMs: number): Promise<unknown> {
    try {
      const reply = await this.machine.bus.request(subject, encode(body), { timeoutMs });
      return decode(reply.data);
    } catch {
      // No answer, however that came about, is what the simulation is about.
      await this.#pass(50);
      return undefined;
    }
  }

  #pass(ms: number): Promise<void> {
    return new Promise((resolve) => void this.machine.clock.setTimer(ms, resolve));
  }
}

type RefAnswer = { readonly ok: true } | { readonly ok: false; readonly error: { readonly code: string } };
