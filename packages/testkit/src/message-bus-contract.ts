import type { BusMessage, MessageBus } from '@muster/ports';
import { decode, encode } from '@muster/protocol';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { eventually } from './eventually.ts';

/** What the suite needs of an implementation: buses of several processes that reach each other. */
export interface MessageBusWorld extends AsyncDisposable {
  connect(name: string): Promise<MessageBus>;
  /** Breaks the link of this bus; resolves when the bus knows. */
  cut(bus: MessageBus): Promise<void>;
  /** Resolves when the bus is connected again. */
  mend(bus: MessageBus): Promise<void>;
}

const TIMEOUT_MS = 20_000;
const text = (message: BusMessage): unknown => decode(message.data);

/** What every MessageBus promises. */
export function describeMessageBusContract(name: string, makeWorld: () => Promise<MessageBusWorld>): void {
  describe(`MessageBus: ${name}`, () => {
    let world: MessageBusWorld;
    let alice: MessageBus;
    let bob: MessageBus;

    beforeEach(async () => {
      world = await makeWorld();
      alice = await world.connect('alice');
      bob = await world.connect('bob');
    });
    afterEach(async () => {
      await world[Symbol.asyncDispose]();
    });

    /** Collects what arrives, once the server knows of the subscription. */
    const listen = async (bus: MessageBus, subject: string, queue?: string): Promise<BusMessage[]> => {
      const heard: BusMessage[] = [];
      bus.subscribe(subject, (message) => heard.push(message), queue === undefined ? {} : { queue });
      await bus.flush();
      return heard;
    };

    test('every subscriber gets every message once and in order, the sender too', async () => {
      const heard = [await listen(alice, 'a.b'), await listen(bob, 'a.b'), await listen(bob, 'a.b')];
      for (let at = 0; at < 100; at++) alice.publish('a.b', encode(at));
      const all = Array.from({ length: 100 }, (_, at) => at);
      await eventually(() => expect(heard.map((messages) => messages.map(text))).toEqual([all, all, all]));
    });

    test('a star stands for one token, an arrow for the rest', async () => {
      const star = await listen(bob, 'w.*.end');
      const arrow = await listen(bob, 'w.>');
      for (const subject of ['w', 'w.1', 'w.1.end', 'w.1.2.end', 'x.1.end']) alice.publish(subject, encode(subject));
      await eventually(() => expect(arrow.map((message) => message.subject)).toEqual(['w.1', 'w.1.end', 'w.1.2.end']));
      expect(star.map((message) => message.subject)).toEqual(['w.1.end']);
    });

    test('each message goes to one member of a queue group, and to everybody outside of it', async () => {
      const members = [await listen(alice, 'q', 'workers'), await listen(bob, 'q', 'workers')];
      const outsider = await listen(bob, 'q');
      for (let at = 0; at < 100; at++) alice.publish('q', encode(at));
      await eventually(() => expect(outsider).toHaveLength(100));
      await eventually(() => expect(members.flat()).toHaveLength(100));
      expect(new Set(members.flat().map(text)).size).toBe(100);
      expect(members.every((messages) => messages.length > 0)).toBe(true);
    });

    test('a request gets the first answer, and headers go along', async () => {
      bob.subscribe('ask.*', (message) => {
        expect(message.expectsReply).toBe(true);
        message.respond(encode([message.subject, text(message), message.headers?.['Trace']]));
        message.respond(encode('too late'));
      });
      await bob.flush();
      const answer = await alice.request('ask.me', encode('?'), { timeoutMs: TIMEOUT_MS, headers: { Trace: 't1' } });
      expect(text(answer)).toEqual(['ask.me', '?', 't1']);
    });

    test('many requests at once each get their own answer', async () => {
      bob.subscribe('double', (message) => message.respond(encode(Number(text(message)) * 2)));
      await bob.flush();
      const ask = async (at: number): Promise<unknown> => text(await alice.request('double', encode(at), { timeoutMs: TIMEOUT_MS }));
      const asked = Array.from({ length: 200 }, (_, at) => at);
      expect(await Promise.all(asked.map(ask))).toEqual(asked.map((at) => at * 2));
    });

    test('a message that nobody waits for says so, and answering it does nothing', async () => {
      const heard = await listen(bob, 'news');
      alice.publish('news', encode(1));
      await eventually(() => expect(heard).toHaveLength(1));
      expect(heard[0]?.expectsReply).toBe(false);
      heard[0]?.respond(encode('unasked'));
    });

    test('asking where nobody listens fails as no-responders', async () => {
      await expect(alice.request('nobody', encode(1), { timeoutMs: TIMEOUT_MS })).rejects.toMatchObject({ code: 'no-responders' });
    });

    test('asking one who stays silent fails as timeout', async () => {
      const heard = await listen(bob, 'silent');
      await expect(alice.request('silent', encode(1), { timeoutMs: 30 })).rejects.toMatchObject({ code: 'timeout' });
      await eventually(() => expect(heard).toHaveLength(1));
    });

    test('after unsubscribe nothing is handled', async () => {
      const heard: unknown[] = [];
      const subscription = bob.subscribe('s', (message) => heard.push(text(message)));
      const all = await listen(bob, 's');
      alice.publish('s', encode(1));
      await eventually(() => expect(heard).toEqual([1]));
      subscription.unsubscribe();
      alice.publish('s', encode(2));
      await eventually(() => expect(all).toHaveLength(2));
      expect(heard).toEqual([1]);
      await expect(alice.request('gone', encode(1), { timeoutMs: TIMEOUT_MS })).rejects.toMatchObject({ code: 'no-responders' });
    });

    test('a member of a queue that drains loses nothing: what was on its way is handled, the rest goes to the others', async () => {
      const served = { alice: 0, bob: 0 };
      const join = (bus: MessageBus, who: 'alice' | 'bob') =>
        bus.subscribe(
          'd',
          (message) => {
            served[who] += 1;
            message.respond(encode(who));
          },
          { queue: 'q' },
        );
      join(alice, 'alice');
      const leaving = join(bob, 'bob');
      await Promise.all([alice.flush(), bob.flush()]);
      const asked: Promise<unknown>[] = [];
      const ask = (): void => {
        for (let n = 0; n < 200; n++) asked.push(alice.request('d', encode(n), { timeoutMs: TIMEOUT_MS }));
      };
      ask();
      await eventually(() => expect(served.bob).toBeGreaterThan(0));
      ask();
      await leaving.drain();
      const handled = served.bob;
      ask();
      expect(await Promise.all(asked)).toHaveLength(600);
      expect(served).toEqual({ alice: 600 - handled, bob: handled });
      // A second end is none.
      await leaving.drain();
      leaving.unsubscribe();
    });

    test('the largest message passes, one byte more is refused before it is sent', async () => {
      const heard = await listen(bob, 'big');
      alice.publish('big', new Uint8Array(alice.payloadBytesMax));
      await eventually(() => expect(heard[0]?.data.length).toBe(alice.payloadBytesMax));
      const tooBig = new Uint8Array(alice.payloadBytesMax + 1);
      expect(() => alice.publish('big', tooBig)).toThrow(expect.objectContaining({ code: 'payload-too-large' }));
      await expect(alice.request('big', tooBig, { timeoutMs: TIMEOUT_MS })).rejects.toMatchObject({ code: 'payload-too-large' });
      expect(alice.isConnected).toBe(true);
    });

    test('a broken link fails what is under way and what is asked then, and keeps nothing for later', async () => {
      const heard = await listen(bob, 'l.*');
      const statuses: string[] = [];
      alice.onStatus((status) => statuses.push(status));
      const underWay = alice.request('l.1', encode(1), { timeoutMs: 60_000 });
      underWay.catch(() => undefined);
      await eventually(() => expect(heard).toHaveLength(1));

      await world.cut(alice);
      await expect(underWay).rejects.toMatchObject({ code: 'disconnected' });
      expect(alice.isConnected).toBe(false);
      await expect(alice.request('l.2', encode(2), { timeoutMs: 60_000 })).rejects.toMatchObject({ code: 'disconnected' });
      await expect(alice.flush()).rejects.toMatchObject({ code: 'disconnected' });
      alice.publish('l.3', encode(3));

      await world.mend(alice);
      expect(statuses).toEqual(['disconnected', 'connected']);
      alice.publish('l.4', encode(4));
      await eventually(() => expect(heard.at(-1)?.subject).toBe('l.4'));
      expect(heard.map((message) => message.subject)).toEqual(['l.1', 'l.4']);
    });

    test('a subscription is there again after its link broke, and misses what was sent meanwhile', async () => {
      const heard = await listen(bob, 'm');
      await world.cut(bob);
      alice.publish('m', encode('missed'));
      await alice.flush();
      await world.mend(bob);
      await bob.flush();
      alice.publish('m', encode('heard'));
      await eventually(() => expect(heard.map(text)).toEqual(['heard']));
    });

    test('a closed bus is out: nobody reaches it, and it takes no subscriptions', async () => {
      await listen(bob, 'c');
      await bob.close();
      expect(bob.isConnected).toBe(false);
      await eventually(() =>
        // The server may not have noticed yet: then it passes this one on to nobody.
        expect(alice.request('c', encode(1), { timeoutMs: 100 })).rejects.toMatchObject({ code: 'no-responders' }),
      );
      bob.publish('c', encode(1));
      expect(() => bob.subscribe('c', () => undefined)).toThrow(expect.objectContaining({ code: 'closed' }));
      await expect(bob.request('c', encode(1), { timeoutMs: TIMEOUT_MS })).rejects.toThrow();
    });

    test('a service shares its requests among its instances, and says what it is and did', async () => {
      const served = { alice: 0, bob: 0 };
      const serve = (bus: MessageBus, who: 'alice' | 'bob') =>
        bus.serve({
          name: 'greeter',
          version: '1.2.3',
          description: 'Greets.',
          endpoints: [
            {
              name: 'greet',
              subject: 'svc.greet',
              handler: (message) => {
                served[who] += 1;
                message.respond(encode(who));
              },
            },
          ],
        });
      const subscription = await serve(alice, 'alice');
      await serve(bob, 'bob');
      await alice.flush();
      const ask = async (subject: string): Promise<unknown> => text(await bob.request(subject, encode(''), { timeoutMs: TIMEOUT_MS }));
      for (let at = 0; at < 60; at++) await ask('svc.greet');
      expect(served.alice + served.bob).toBe(60);
      expect(Math.min(served.alice, served.bob)).toBeGreaterThan(0);

      const identity = { name: 'greeter', version: '1.2.3', id: expect.stringMatching(/^[0-9a-z]{22}$/) };
      expect(await ask('$SRV.PING')).toMatchObject({ type: 'io.nats.micro.v1.ping_response', ...identity });
      expect(await ask('$SRV.INFO.greeter')).toMatchObject({
        type: 'io.nats.micro.v1.info_response',
        ...identity,
        description: 'Greets.',
        endpoints: [{ name: 'greet', subject: 'svc.greet', queue_group: 'q' }],
      });
      const stats = (await ask('$SRV.STATS.greeter')) as { id: string; endpoints: { num_requests: number }[] };
      expect(stats).toMatchObject({ type: 'io.nats.micro.v1.stats_response', ...identity, started: expect.any(String) });
      expect([served.alice, served.bob]).toContain(stats.endpoints[0]?.num_requests);
      expect(await ask(`$SRV.STATS.greeter.${stats.id}`)).toMatchObject({ id: stats.id });

      subscription.unsubscribe();
      await alice.flush();
      for (let at = 0; at < 10; at++) expect(await ask('svc.greet')).toBe('bob');
    });
  });
}
