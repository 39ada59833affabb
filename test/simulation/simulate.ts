// `npm run simulate`: runs seeds, on several processes, and says what came of them. Exits with 1 on a violation.
import { fork } from 'node:child_process';
import { parseArgs } from 'node:util';
import { planOf, withFaults } from './plan.ts';
import { failureLines, Report } from './report.ts';
import { shrink } from './shrink.ts';
import { type RunResult, simulate } from './simulation.ts';

const USAGE = `npm run simulate -- [options]
  --seeds N       run the seeds from --from (default 1) on; default 100
  --from K        the first seed
  --seed K        run one seed, and show its last events where it fails
  --faults 1,4    with --seed: only these faults of its plan (as the shrinker left them)
  --jobs N        processes; default 2`;

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '100' },
    from: { type: 'string', default: '1' },
    seed: { type: 'string' },
    faults: { type: 'string' },
    jobs: { type: 'string', default: '2' },
    child: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

/** A result as it goes from one process to another. */
type Sent = Omit<RunResult, 'faults'> & { readonly faults: readonly (readonly [string, number])[] };

const PROGRESS_EVERY = 100;

function number(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`${text} is not a whole number\n${USAGE}`);
  return value;
}

async function one(seed: number): Promise<void> {
  const whole = planOf(seed);
  const faults = values.faults?.split(',').filter((text) => text !== '');
  const plan = faults === undefined ? whole : withFaults(whole, faults.map(number));
  const result = await simulate(plan);
  const report = new Report();
  report.add(result);
  for (const line of report.lines()) console.log(line);
  if (result.violation === undefined) return;
  process.exitCode = 1;
  for (const line of failureLines(result, faults?.map(number))) console.log(line);
}

async function many(from: number, seeds: number, jobs: number): Promise<void> {
  const report = new Report();
  await Promise.all(Array.from({ length: jobs }, (_, job) => inChild(from + job, from + seeds, jobs, report)));
  for (const line of report.lines()) console.log(line);
  const [first] = report.failures.toSorted((a, b) => a.seed - b.seed);
  if (first === undefined) return;
  process.exitCode = 1;
  for (const { seed, violation } of report.failures.slice(0, 20))
    console.log(`seed ${seed}: ${violation?.rule}: ${violation?.said.slice(0, 300)}`);
  console.log(`\nmaking the faults of seed ${first.seed} few`);
  const { result, faults } = await shrink(planOf(first.seed), first);
  for (const line of failureLines(result, faults)) console.log(line);
}

function inChild(from: number, to: number, step: number, report: Report): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = fork(import.meta.filename, ['--child', `${from},${to},${step}`]);
    child.on('message', (sent: Sent) => {
      report.add({ ...sent, faults: new Map(sent.faults) });
      if (report.runs % PROGRESS_EVERY === 0) console.log(report.progress());
    });
    child.on('error', reject);
    child.on('exit', (code) => (code === 0 ? resolve() : reject(new Error(`a process of the simulation ended with ${code}`))));
  });
}

async function asChild(range: string): Promise<void> {
  const [from = 0, to = 0, step = 1] = range.split(',').map(number);
  for (let seed = from; seed < to; seed += step) {
    const result = await simulate(planOf(seed));
    process.send?.({ ...result, faults: [...result.faults] } satisfies Sent);
  }
  process.disconnect();
}

if (values.help) console.log(USAGE);
else if (values.child !== undefined) await asChild(values.child);
else if (values.seed !== undefined) await one(number(values.seed));
else await many(number(values.from), number(values.seeds), Math.max(1, number(values.jobs)));
