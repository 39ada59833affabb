// One process of the bare skeleton, forked by the bench: the same messages and appends as the cluster's, and no logic.
//
//   owner     takes requests over core NATS; appends what they change to one subject, conditional on the append before and
//             many in one (group commit); tells the worker; answers. What a replica owns of a pool.
//   follower  is given every append, as every replica is, and looks at none.
//   worker    says yes to everything, as a simulated worker's host does.
import { connectNats } from '@muster/nats';
import { type MessageBus, SystemClock, SystemRandom, silentLogger } from '@muster/ports';
import { decode, encode } from '@muster/protocol';
import { serveCalls } from './serve-calls.ts';
import { startSkeletonOwner } from './skeleton-owner.ts';
import { type SkeletonCall, type SkeletonStart, skeletonSubjects } from './skeleton-stream.ts';

async function answer(call: SkeletonCall): Promise<void> {
  const tools = { clock: new SystemClock(), random: new SystemRandom(), logger: silentLogger };
  const { bus } = await connectNats({
    servers: call.nats.servers,
    name: `muster bench skeleton ${call.role}`,
    ...tools,
    ...call.nats.access,
  });
  if (call.role === 'worker') serveWorkers(bus, call);
  else await follow(bus, call);
  if (call.role === 'owner') startSkeletonOwner(bus, call);
  await bus.flush();
}

function serveWorkers(bus: MessageBus, { run }: SkeletonStart): void {
  const yes = encode({ ok: true, endpoint: 'simulated://bench/worker' });
  bus.subscribe(skeletonSubjects(run).anyWorker, (message) => {
    decode(message.data);
    message.respond(yes);
  });
}

async function follow(bus: MessageBus, { run, name }: SkeletonStart): Promise<void> {
  const { stream, deliver } = skeletonSubjects(run);
  const subject = `${deliver}.${name}`;
  bus.subscribe(subject, (message) => {
    // Flow control and heartbeats of the server.
    if (message.expectsReply && message.data.length === 0) message.respond(new Uint8Array(0));
  });
  await bus.flush();
  const config = {
    deliver_subject: subject,
    deliver_policy: 'new',
    ack_policy: 'none',
    mem_storage: true,
    flow_control: true,
    idle_heartbeat: 2_000_000_000,
  };
  const reply = await bus.request(`$JS.API.CONSUMER.CREATE.${stream}`, encode({ stream_name: stream, config }), { timeoutMs: 5_000 });
  const { error } = decode(reply.data) as { readonly error?: { readonly description: string } };
  if (error !== undefined) throw new Error(`the scratch stream cannot be followed: ${error.description}`);
}

serveCalls(answer);
