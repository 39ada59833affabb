// A process that makes load, forked by the bench: many clients on one connection.
import { MusterClient } from '@muster/client';
import { connectNats } from '@muster/nats';
import { SystemClock, SystemRandom, silentLogger } from '@muster/ports';
import { ReleaseWitness } from '../history/release-witness.ts';
import type { LoadCall, LoadResult, TargetName } from './load-messages.ts';
import { LoadRound } from './load-round.ts';
import { type LoadTarget, MusterTarget, SkeletonTarget } from './load-target.ts';
import { serveCalls } from './serve-calls.ts';

const tools = { clock: new SystemClock(), random: new SystemRandom(), logger: silentLogger };
let targets: Readonly<Record<TargetName, LoadTarget>> | undefined;
let orgPrefix = '';
let refused: { readonly reservation: string; readonly why: string }[] = [];

async function answer(call: LoadCall): Promise<unknown> {
  switch (call.type) {
    case 'connect':
      return connect(call);
    case 'prepare':
      return prepare(call);
    case 'run':
      return run(call);
  }
}

async function connect({ nats, pool, skeletonSubject, ...call }: Extract<LoadCall, { type: 'connect' }>): Promise<void> {
  orgPrefix = call.orgPrefix;
  const { bus } = await connectNats({ servers: nats.servers, name: 'muster bench', ...tools, ...nats.access });
  const witness = new ReleaseWitness(bus, (reservation, why) => refused.push({ reservation, why }));
  const client = new MusterClient({ bus: witness, ...tools });
  targets = { muster: new MusterTarget(client, pool), skeleton: new SkeletonTarget(bus, tools, skeletonSubject) };
}

async function prepare({ target, clients }: Extract<LoadCall, { type: 'prepare' }>): Promise<void> {
  for (const org of orgsOf(clients)) await (await targetOf(target).reserve(org))?.release();
}

async function run(call: Extract<LoadCall, { type: 'run' }>): Promise<LoadResult> {
  const { target, shape, startWallMs, warmUpMs, durationMs, round } = call;
  refused = [];
  const { clock } = tools;
  const startMs = clock.monotonicMs() + (startWallMs - clock.wallMs());
  const orgs = orgsOf(shape.clients, round);
  const result = await new LoadRound({ clock, target: targetOf(target), shape, orgs, startMs, warmUpMs, durationMs }).run();
  return { ...result, refusedReleases: refused };
}

function targetOf(name: TargetName): LoadTarget {
  if (targets === undefined) throw new Error('not connected');
  return targets[name];
}

function orgsOf(clients: number, round = ''): readonly string[] {
  return Array.from({ length: clients }, (_, client) => `${orgPrefix}${round}-${client}`);
}

serveCalls(answer);
