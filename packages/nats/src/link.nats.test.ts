import { ManualClock } from '@muster/ports';
import { encode } from '@muster/protocol';
import { eventually, natsServerBinaries, startNatsWorld } from '@muster/testkit';
import { connect } from '@nats-io/transport-node';
import { describe, expect, test } from 'vitest';

describe.each(natsServerBinaries())('the link to nats-server $version', ({ path }) => {
  test('closes while the server is away, and stays closed when it is back', async () => {
    await using world = await startNatsWorld({ binary: path });
    const nats = await world.connect('one');
    await world.server.kill();
    await nats.close();
    await world.server.start();
    expect(nats.bus.isConnected).toBe(false);
    await expect(nats.bus.flush()).rejects.toMatchObject({ code: 'closed' });
  });

  test('what was published just before closing still arrives', async () => {
    await using world = await startNatsWorld({ binary: path });
    const [one, two] = [await world.connect('one'), await world.connect('two')];
    let heard = 0;
    two.bus.subscribe('last', () => heard++);
    await two.bus.flush();
    for (let at = 0; at < 100; at++) one.bus.publish('last', encode('words'));
    await one.close();
    await eventually(() => expect(heard).toBe(100));
  });

  test('a subject that cannot be one is a bad request, and the link lives on', async () => {
    await using world = await startNatsWorld({ binary: path });
    const { bus } = await world.connect('one');
    expect(() => bus.publish('a b', encode(1))).toThrow(expect.objectContaining({ code: 'bad-request' }));
    await expect(bus.request('', encode(1), { timeoutMs: 100 })).rejects.toMatchObject({ code: 'bad-request' });
    await bus.flush();
  });

  test('a handler that throws is logged, and the ones after it are called', async () => {
    await using world = await startNatsWorld({ binary: path });
    const { bus } = await world.connect('one');
    let heard = 0;
    bus.subscribe('s', () => {
      heard += 1;
      throw new Error('a defect');
    });
    await bus.flush();
    for (let at = 0; at < 3; at++) bus.publish('s', encode(at));
    await eventually(() => expect(heard).toBe(3));
    expect(world.logger.lines.filter(({ level, fields }) => level === 'error' && fields['subject'] === 's')).toHaveLength(3);
  });

  test('a server that stands still is noticed by its silence, and found again', async () => {
    await using world = await startNatsWorld({ binary: path });
    const { bus } = await world.connect('one');
    await world.server.pause();
    const asked = bus.request('nobody', encode(1), { timeoutMs: 600_000 });
    await expect(asked).rejects.toMatchObject({ code: 'disconnected' });
    expect(bus.isConnected).toBe(false);
    world.server.resume();
    await eventually(() => bus.isConnected, { timeoutMs: 60_000 });
    await expect(bus.request('nobody', encode(1), { timeoutMs: 60_000 })).rejects.toMatchObject({ code: 'no-responders' });
  });

  test('the markers of deleted values go after a minute, and a value put meanwhile stays', async () => {
    await using world = await startNatsWorld({ binary: path });
    const clock = new ManualClock();
    const { latestValues } = await (await world.connect('one', { clock })).openClusterStore({ cluster: 'demo' });
    for (const key of ['a', 'b', 'c']) {
      await latestValues.put(key, encode(1));
      await latestValues.delete(key);
    }
    await latestValues.put('b', encode(2));
    const looker = await connect({ servers: world.server.url });
    const stored = async (): Promise<unknown> => {
      const subject = '$JS.API.STREAM.INFO.KV_muster_demo_slots';
      const body = JSON.stringify({ subjects_filter: '>' });
      const info = (await looker.request(subject, body, { timeout: 20_000 })).json<{ state: { subjects?: object } }>();
      return Object.keys(info.state.subjects ?? {}).sort();
    };
    expect(await stored()).toEqual(['a', 'b', 'c'].map((key) => `$KV.muster_demo_slots.${key}`));
    clock.advance(60_000);
    await eventually(async () => expect(await stored()).toEqual(['$KV.muster_demo_slots.b']));
    await looker.close();
  });
});
