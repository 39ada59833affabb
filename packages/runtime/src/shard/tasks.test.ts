import { ManualClock, SeededRandom } from '@muster/ports';
import { expect, it } from 'vitest';
import type { Turn } from '../contract.ts';
import { Tasks } from './tasks.ts';

const RETRY = { attemptsMax: 3, firstDelayMs: 100, delayMaxMs: 1_000 };

function makeTasks(tasksMax = 2) {
  const clock = new ManualClock();
  const tasks = new Tasks({ clock, random: new SeededRandom(1), tasksMax, turn: (run) => run({} as Turn) });
  const events: string[] = [];
  const gates = new Map<string, (isOk: boolean) => void>();
  const start = (name: string, isUrgent = false) =>
    tasks.start({
      name,
      retry: RETRY,
      isUrgent,
      run: () =>
        new Promise<string>((resolve, reject) => {
          events.push(`run ${name}`);
          gates.set(name, (isOk) => (isOk ? resolve(name) : reject(new Error(name))));
        }),
      done: (_, result) => void events.push(`done ${result}`),
      failed: (_, error) => void events.push(`failed ${String(error)}`),
    });
  const settle = async (name: string, isOk = true): Promise<void> => {
    gates.get(name)?.(isOk);
    await clock.settle();
  };
  return { clock, tasks, events, start, settle };
}

it('runs so many at once, urgent ones first (K1)', async () => {
  const { start, events, settle } = makeTasks();
  for (const name of ['a', 'b', 'c', 'd']) start(name);
  start('urgent', true);
  expect(events).toEqual(['run a', 'run b']);
  await settle('a');
  await settle('b');
  expect(events).toEqual(['run a', 'run b', 'done a', 'run urgent', 'done b', 'run c']);
});

it('runs one of a name at a time, and the next when it is over (K2)', async () => {
  const { start, events, settle } = makeTasks();
  start('a');
  start('a');
  await settle('a');
  expect(events).toEqual(['run a', 'done a']);
  start('a');
  expect(events).toHaveLength(3);
});

it('tries again by its policy, with backoff, then gives the error (K3)', async () => {
  const { clock, start, events, settle } = makeTasks();
  start('a');
  await settle('a', false);
  start('a');
  await clock.run(49);
  expect(events).toEqual(['run a']);
  await clock.run(60);
  expect(events).toEqual(['run a', 'run a']);
  await settle('a', false);
  await clock.run(200);
  await settle('a', false);
  await clock.run(5_000);
  expect(events).toEqual(['run a', 'run a', 'run a', 'failed Error: a']);
});

it('says nothing after close, and aborts what runs (K4)', async () => {
  const { clock, tasks, events, start, settle } = makeTasks();
  let signal: AbortSignal | undefined;
  tasks.start({
    name: 'signal',
    retry: RETRY,
    run: (given) => {
      signal = given;
      return new Promise<never>(() => undefined);
    },
    done: () => undefined,
    failed: () => undefined,
  });
  start('a');
  tasks.close();
  await settle('a');
  start('b');
  await clock.run(5_000);
  expect(events).toEqual(['run a']);
  expect(signal?.aborted).toBe(true);
});
