// Reads a scenario, a text of one step a line, and plays it in a simulated world while the referee looks on.
//
// Steps (`#` begins a comment; durations are written 500ms, 2s):
//   replicas N · pool NAME floor=N max=N recycle=… spawn=15s … · org NAME max=N     what there is; first of all
//   records at most N bytes                a journal whose records, and the bytes between snapshots, are small
//   run D                                  time passes
//   N reserve POOL [org=ORG] [wait=D] [retry=D]   N requests, each of an org of its own where none is named
//   release N · give up N                  the oldest that are granted; that still ask
//   everybody uses                         each holder asks its worker for something
//   tenants come and go                    one more process of them, until the end
//   kill|pause|cut|disconnect the owner of SHARD [for D] · the owner of SHARD leaves
//   acknowledgements are lost for D · pause the standbys of SHARD for D
//   disconnect who owns nothing for D
//   cut the worker of a tenant for D · the node of a tenant is lost for D
//   there is no room · there is room
//   add a replica · crash N · crash on activation
//   starts take D|fail|work · activations fail|work · exits are not told · lists are D old
//   late CUTS|FOLLOWERS|COMMANDS by D      messages of that kind (commands: to and from workers) are late and doubled
//   template POOL · set POOL KEY=VALUE     an operator applies another configuration
//   expect WHAT = | <= | >= N              see `measure`
//   converges                              everybody releases, and all that has to be so in the end is so
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { MissError, MusterClient, type Reservation } from '@muster/client';
import { silentLogger } from '@muster/ports';
import { isMusterError, type Miss, type Reservation as Grant, subjects } from '@muster/protocol';
import { whatIsLeft } from './check/convergence.ts';
import type { Plan } from './plan.ts';
import type { ClientRequest } from './world/sim-client.ts';
import type { JournalTrouble } from './world/sim-journal.ts';
import type { SimReplica } from './world/sim-replica.ts';
import { World } from './world/world.ts';

interface Asked extends ClientRequest {
  state: 'asking' | 'granted' | 'missed' | 'lost' | 'over';
  reason: Miss['reason'] | undefined;
  tries: number;
  reservation: Reservation | undefined;
  readonly giveUp: AbortController;
}

const KINDS: Readonly<Record<string, string>> = { cuts: '.miss.', followers: 'follow', commands: '.v1.worker.' };
const LOST: JournalTrouble = {
  acknowledgementLost: 1,
  lost: 0,
  late: 0,
  lateMs: 0,
  noResponders: 0,
  inFlight: 0,
  staleRead: 0,
  failedRead: 0,
};
const CONVERGE_MS = 200_000;

/** All scenarios, by their names. */
export function readScenarios(): readonly { readonly name: string; readonly text: string }[] {
  const folder = join(import.meta.dirname, 'scenarios');
  return readdirSync(folder).map((file) => ({ name: file.replace(/\.txt$/, ''), text: readFileSync(join(folder, file), 'utf8') }));
}

/** Plays a scenario. @throws Error with the line that is not as it says, or what the referee found */
export async function playScenario(text: string): Promise<void> {
  const lines = text
    .split('\n')
    .map((line, at) => ({ at: at + 1, words: line.replace(/#.*/, '').trim() }))
    .filter(({ words }) => words !== '');
  const isSetting = ({ words }: { readonly words: string }): boolean => /^(replicas|pool|org|records) /.test(words);
  const player = new Player(planFrom(lines.filter(isSetting).map(({ words }) => words)));
  await player.start();
  for (const line of lines) {
    if (isSetting(line)) continue;
    try {
      await player.step(line.words);
    } catch (error) {
      throw new Error(`line ${line.at}: ${line.words}: ${(error as Error).message}`, { cause: error });
    }
  }
}

class Player {
  readonly #world: World;
  readonly #asked: Asked[] = [];
  readonly #client: MusterClient;
  readonly #ends = new Map<string, () => void>();
  readonly #grantedBy = new Map<string, number>();
  #made = 0;

  constructor(plan: Plan) {
    this.#world = new World(plan);
    const machine = this.#world.addMachine('tenants');
    this.#client = new MusterClient({ bus: machine.bus, clock: machine.clock, random: machine.random, logger: silentLogger });
    const { clock, referee } = this.#world;
    clock.afterStep = () => {
      const { violation } = referee.verdict;
      if (violation !== undefined) throw new Error(`${violation.rule}: ${violation.said}`);
    };
  }

  async start(): Promise<void> {
    for (let n = 0; n < this.#world.plan.replicas; n += 1) this.#world.addReplica({});
    await this.#world.clock.run(3_000);
  }

  async step(words: string): Promise<void> {
    const world = this.#world;
    const [first = '', second = '', ...rest] = words.split(/\s+/);
    const on = (name: string, end: () => void): void => {
      this.#ends.get(name)?.();
      this.#ends.set(name, end);
    };
    if (first === 'run') return world.clock.run(ms(second));
    if (second === 'reserve') return this.#reserve(Number(first), rest[0] ?? '', optionsOf(rest));
    if (first === 'release') return this.#release(Number(second));
    if (words.startsWith('give up')) return this.#giveUp(Number(rest[0]));
    if (words === 'everybody uses') return this.#use();
    if (first === 'expect') return this.#expect(words.slice('expect '.length));
    if (first === 'converges') return this.#converges();
    if (words === 'tenants come and go') return void world.addClient();
    if (words.startsWith('acknowledgements are lost')) return world.after(ms(rest.at(-1) ?? ''), world.journalTrouble(undefined, LOST));
    const standing = /^pause the standbys of (\S+) for (\S+)$/.exec(words);
    if (standing !== null) {
      const owner = this.#ownerOf(standing[1] ?? '');
      for (const standby of world.liveReplicas) if (standby !== owner) world.after(ms(standing[2] ?? ''), world.pause(standby.machine));
      return;
    }
    if (words.startsWith('disconnect who owns nothing')) return this.#disconnectIdle(ms(rest.at(-1) ?? ''));
    if (words.startsWith('cut the worker')) return this.#cutWorker(ms(rest.at(-1) ?? ''));
    if (words.startsWith('the node of a tenant is lost')) return this.#loseNode(ms(rest.at(-1) ?? ''));
    if (words === 'there is no room') return void (world.yard.isFull = true);
    if (words === 'there is room') return world.yard.makeRoom();
    const leaving = /^the owner of (\S+) leaves$/.exec(words);
    if (leaving !== null) return world.leave(this.#ownerOf(leaving[1] ?? ''));
    if (words === 'add a replica') return void world.addReplica({});
    if (words === 'crash on activation') return world.crashOnActivation();
    if (first === 'crash') return this.#crash(Number(second));
    if (words === 'starts fail') return on('starts', world.startTrouble({ fail: 1, hang: 0, slow: 0, slowMs: 0 }));
    if (words.startsWith('starts take')) return on('starts', world.startTrouble({ fail: 0, hang: 0, slow: 1, slowMs: ms(rest[0] ?? '') }));
    if (words === 'starts work') return on('starts', () => undefined);
    if (words === 'activations fail') {
      const trouble = { slowActivation: 0, slowMs: 0, hangingActivation: 0, failedActivation: 1, refusedRequest: 0, failedReset: 0 };
      return on('activations', world.workerTrouble(trouble));
    }
    if (words === 'activations work') return on('activations', () => undefined);
    if (words.startsWith('lists are')) {
      return on('driver', world.driverTrouble({ failedCall: 0, lostAnswer: 0, refusedCreate: 0, staleMs: ms(rest[0] ?? ''), lostNews: 1 }));
    }
    if (first === 'late') {
      const noise = { drop: 0, duplicate: 0.5, delay: 0.5, lateMs: ms(rest[1] ?? ''), subject: KINDS[second] ?? second };
      return on(second, world.noise(noise));
    }
    if (first === 'template') return world.apply(second, `worker: { env: { V: "${this.#made++}" } }`);
    if (first === 'set') return world.apply(second, (rest[0] ?? '').replace('=', ': '));
    const owner = /^(kill|pause|cut|disconnect) the owner of (\S+)(?: for (\S+))?$/.exec(words);
    if (owner !== null) return this.#owner(owner[1] ?? '', owner[2] ?? '', ms(owner[3] ?? '0ms'));
    throw new Error('is not a step');
  }

  #ownerOf(shard: string): SimReplica {
    const owner = this.#world.liveReplicas.find(({ runtime }) => runtime?.isOwned(shard) === true);
    if (owner === undefined) throw new Error(`${shard} has no owner`);
    return owner;
  }

  /** Of the tenant that has had its worker longest. */
  get #slotOfTenant(): string {
    return this.#asked.find(({ state }) => state === 'granted')?.reservation?.slot ?? '';
  }

  #loseNode(forMs: number): void {
    const { yard } = this.#world;
    const slot = this.#slotOfTenant;
    this.#cutWorker(forMs);
    yard.setOutOfSight(slot, true);
    this.#world.after(forMs, () => yard.setOutOfSight(slot, false));
  }

  #cutWorker(forMs: number): void {
    const world = this.#world;
    const name = world.yard.worker(this.#slotOfTenant)?.machine.name;
    if (name === undefined) throw new Error('no tenant has a worker');
    const ends = [world.cut(name, 'nats'), world.cut('nats', name)];
    world.after(forMs, () => {
      for (const end of ends) end();
    });
  }

  #disconnectIdle(forMs: number): void {
    const world = this.#world;
    const owners = new Set([...world.referee.journal.folds.values()].map(({ owner }) => owner));
    const idle = world.liveReplicas.filter(({ name }) => !owners.has(name));
    const reconnect = world.linkDown(
      idle.map(({ machine }) => machine.bus),
      () => 0,
    );
    world.after(forMs, reconnect);
  }

  #owner(what: string, shard: string, forMs: number): void {
    const world = this.#world;
    const owner = this.#ownerOf(shard);
    if (what === 'kill') return world.killReplica(owner);
    if (what === 'pause') return world.after(forMs, world.pause(owner.machine));
    if (what === 'disconnect')
      return world.after(
        forMs,
        world.linkDown([owner.machine.bus], () => 0),
      );
    const ends = [world.cut(owner.name, 'nats'), world.cut('nats', owner.name)];
    world.after(forMs, () => {
      for (const end of ends) end();
    });
  }

  #reserve(count: number, pool: string, options: Readonly<Record<string, string>>): void {
    for (let n = 0; n < count; n += 1) {
      const id = `${pool}-${this.#made++}`;
      const org = options.org ?? `tenant-${id}`;
      const asked: Asked = {
        client: 'tenants',
        org,
        pool,
        requestId: id,
        isKept: true,
        state: 'asking',
        reason: undefined,
        tries: 0,
        reservation: undefined,
        giveUp: new AbortController(),
      };
      this.#asked.push(asked);
      void this.#ask(asked, ms(options.wait ?? '0ms'), options.retry === undefined ? undefined : ms(options.retry));
    }
  }

  async #ask(asked: Asked, waitMs: number, retryMs: number | undefined): Promise<void> {
    const { referee, clock } = this.#world;
    const { org, pool, requestId = '' } = asked;
    while (asked.state === 'asking') {
      asked.tries += 1;
      referee.asked(asked);
      try {
        const reservation = await this.#client.reserve(pool, { org, requestId, waitMs, ttlMs: 8_000, signal: asked.giveUp.signal });
        const { source, waitedMs } = reservation;
        const grant = grantOf(asked, reservation);
        referee.told(asked, { ok: true, reservation: grant, source, waitedMs });
        this.#grantedBy.set(source, (this.#grantedBy.get(source) ?? 0) + 1);
        asked.reservation = reservation;
        asked.state = 'granted';
        reservation.onLost((reason) => {
          asked.state = 'lost';
          referee.lost(asked, grant, reason);
        });
      } catch (error) {
        const miss = error instanceof MissError ? error.miss : undefined;
        referee.told(asked, miss === undefined ? undefined : { ok: false, miss });
        asked.reason = miss?.reason;
        if (retryMs === undefined || asked.giveUp.signal.aborted || isMusterError(error, 'ended')) asked.state = 'missed';
        else await new Promise<void>((resolve) => void clock.setTimer(retryMs, resolve));
      }
    }
  }

  async #release(count: number): Promise<void> {
    const { clock, referee } = this.#world;
    for (const asked of this.#asked.filter(({ state }) => state === 'granted').slice(0, count)) {
      asked.state = 'over';
      if (asked.reservation === undefined) continue;
      referee.letGo(asked, { id: asked.reservation.id } as Grant);
      void asked.reservation.release().catch(() => undefined);
    }
    await clock.run(50);
  }

  #use(): void {
    for (const asked of this.#asked) {
      if (asked.state === 'granted' && asked.reservation !== undefined) this.#world.referee.used(asked, grantOf(asked, asked.reservation));
    }
  }

  #giveUp(count: number): void {
    for (const asked of this.#asked.filter(({ state }) => state === 'asking').slice(0, count)) asked.giveUp.abort(new Error('gave up'));
  }

  #crash(count: number): void {
    const { yard, referee } = this.#world;
    const warm = yard.running.filter(({ spec }) => referee.journal.slot(spec.slot)?.state === 'warm');
    for (const { spec } of warm.slice(0, count)) yard.end(spec.slot, 'SIGKILL');
  }

  async #converges(): Promise<void> {
    const world = this.#world;
    for (const end of this.#ends.values()) end();
    world.heal();
    world.isClosing = true;
    this.#giveUp(Number.POSITIVE_INFINITY);
    await this.#release(Number.POSITIVE_INFINITY);
    const untilMs = world.clock.monotonicMs() + CONVERGE_MS;
    let left = whatIsLeft(world);
    while (left.length > 0 && world.clock.monotonicMs() < untilMs) {
      await world.clock.run(500);
      left = whatIsLeft(world);
    }
    if (left.length > 0) throw new Error(left.slice(0, 6).join('; '));
  }

  #expect(words: string): void {
    const parts = /^(.+?) (=|<=|>=) (\d+)$/.exec(words);
    if (parts === null) throw new Error('is not an expectation');
    const [, what = '', how, wanted] = parts;
    const is = this.#measure(what);
    const holds = how === '=' ? is === Number(wanted) : how === '<=' ? is <= Number(wanted) : is >= Number(wanted);
    if (!holds) throw new Error(`it is ${is}`);
  }

  /** granted, lost, asking, missed [REASON], answered warm|waited|parked; started, running, drained POOL; STATE of POOL; intents KIND; conflicts */
  #measure(what: string): number {
    const { yard, referee, faults } = this.#world;
    const [kind = '', name = '', ...rest] = what.split(' ');
    if (name === 'of') return [...referee.journal.fold(rest[0] ?? '').slots.values()].filter(({ state }) => state === kind).length;
    switch (kind) {
      case 'granted':
      case 'lost':
      case 'asking':
        return this.#asked.filter(({ state }) => state === kind).length;
      case 'missed':
        return this.#asked.filter(({ state, reason }) => state !== 'granted' && (name === '' ? state === 'missed' : reason === name))
          .length;
      case 'answered':
        return this.#grantedBy.get(name) ?? 0;
      case 'started':
        return [...yard.residents.values()].filter(({ spec }) => spec.pool === name).length;
      case 'running':
        return yard.running.filter(({ spec }) => spec.pool === name).length;
      case 'ended':
        return [...yard.residents.values()].filter(({ spec, exit }) => spec.pool === name && exit !== undefined).length;
      case 'intents':
        return [...referee.journal.intents.values()].filter((intent) => intent.kind === name).length;
      case 'conflicts':
        return faults.get('append: conflict') ?? 0;
      default:
        throw new Error(`${kind} cannot be measured`);
    }
  }
}

function grantOf({ org }: Asked, { id, slot, epoch, endpoint, token, ttlMs }: Reservation): Grant {
  return { id, slot, org, epoch, endpoint, token, subject: subjects.reservation(id), ttlMs };
}

function planFrom(settings: readonly string[]): Plan {
  const pools: string[] = [];
  const orgs: string[] = [];
  let replicas = 1;
  let recordBytesMax = 1024 * 1024;
  for (const words of settings) {
    const [what, name = '', ...rest] = words.split(/\s+/);
    const options = Object.entries({ ...(what === 'pool' ? DEFAULTS : {}), ...optionsOf(rest) }).map(([key, value]) => `${key}: ${value}`);
    if (what === 'replicas') replicas = Number(name);
    else if (what === 'records') recordBytesMax = Number(rest[1]);
    else if (what === 'pool') pools.push(`  ${name}:\n${options.map((option) => `    ${option}\n`).join('')}`);
    else orgs.push(`  ${name}: { ${options.join(', ')} }\n`);
  }
  return {
    seed: 1,
    replicas,
    clients: 0,
    habits: {
      pools: settings.flatMap((words) => /^pool (\S+)/.exec(words)?.[1] ?? []),
      orgs: ['acme', 'bolt', 'crew', 'dune', 'echo', 'flux'],
      tenantsPerClient: 12,
      waitMaxMs: 5_000,
      holdMaxMs: 150,
      pauseMaxMs: 100,
      ttlMs: 8_000,
    },
    config: `pools:\n${pools.join('')}${orgs.length === 0 ? '' : `orgs:\n${orgs.join('')}`}`,
    isOrdered: false,
    recordBytesMax,
    snapshotBytesMin: recordBytesMax < 1024 * 1024 ? recordBytesMax : 4 * 1024 * 1024,
    drift: 0,
    faultyMs: 0,
    capacityMax: undefined,
    faults: [],
  };
}

const DEFAULTS = {
  driver: 'simulated',
  parkedTtl: '4s',
  leaseTtl: '8s',
  scaleDown: '{ after: 4s, every: 1s }',
  spawn: '5m',
  activation: '1500ms',
};

function optionsOf(words: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(
    words
      .filter((word) => word.includes('='))
      .map((word) => word.replaceAll(':', ': ').replaceAll(',', ', ').split('=') as [string, string]),
  );
}

function ms(text: string): number {
  const parts = /^(\d+)(ms|s)$/.exec(text);
  if (parts === null) throw new Error(`${text} is no duration`);
  return Number(parts[1]) * (parts[2] === 's' ? 1_000 : 1);
}
