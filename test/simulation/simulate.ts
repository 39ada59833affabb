// `npm run simulate`: runs seeds, on several processes, and says what came of them. Exits with 1 on a violation.
import { parseArgs } from 'node:util';
import { parseRange, runInChild, serveRange } from './batch.ts';
import { planOf, withFaults } from './plan.ts';
import { PLANTED_BUGS } from './planted/bugs.ts';
import { findPlanted, QUICK_SEEDS } from './planted/find.ts';
import { failureLines, Report } from './report.ts';
import { runInLargeProcess, serveScale } from './scale/large-process.ts';
import { shrink } from './shrink.ts';
import { simulate } from './simulation.ts';

const USAGE = `npm run simulate -- [options]
  --seeds N       run N seeds; default 100
  --from K        the first seed; default 1
  --seed K        run one seed, and show its last events where it fails
  --faults 1,4    with --seed: only these faults of its plan (as the shrinker left them)
  --events RE     with --seed: show all events that this regular expression matches
  --planted       look for every planted bug, with the seeds of the quick run; exits with 1 where one is not found
  --bug NAME      with --planted: this one only
  --scale         one large cluster in one process: 100 replicas, 100,000 slots, 10,000 orgs; needs up to 8 GB
  --jobs N        processes; default 2`;

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '100' },
    from: { type: 'string', default: '1' },
    seed: { type: 'string' },
    faults: { type: 'string' },
    events: { type: 'string' },
    planted: { type: 'boolean', default: false },
    bug: { type: 'string' },
    scale: { type: 'boolean', default: false },
    jobs: { type: 'string', default: '2' },
    // Between the processes of one run.
    child: { type: 'string' },
    plant: { type: 'string' },
    large: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

const PROGRESS_EVERY = 100;
const FAILURES_SHOWN = 20;

function number(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`${text} is not a whole number\n${USAGE}`);
  return value;
}

async function one(seed: number): Promise<void> {
  const whole = planOf(seed);
  const faults = values.faults
    ?.split(',')
    .filter((text) => text !== '')
    .map(number);
  const pattern = values.events === undefined ? undefined : new RegExp(values.events);
  const show = (line: string): void => {
    if (pattern?.test(line) === true) console.log(line);
  };
  const result = await simulate(faults === undefined ? whole : withFaults(whole, faults), show);
  const report = new Report();
  report.add(result);
  for (const line of report.lines()) console.log(line);
  if (result.violation === undefined) return;
  process.exitCode = 1;
  for (const line of failureLines(result, faults)) console.log(line);
}

async function many(from: number, seeds: number, jobs: number): Promise<void> {
  const report = new Report();
  const onResult = (): void => {
    if (report.runs % PROGRESS_EVERY === 0) console.log(report.progress());
  };
  const ranges = Array.from({ length: jobs }, (_, job) => ({ from: from + job, to: from + seeds, step: jobs }));
  await Promise.all(ranges.map((range) => runInChild(range, report, onResult)));
  for (const line of report.lines()) console.log(line);
  const failures = report.failures.toSorted((a, b) => a.seed - b.seed);
  const [first] = failures;
  if (first === undefined) return;
  process.exitCode = 1;
  for (const { seed, violation } of failures.slice(0, FAILURES_SHOWN)) {
    console.log(`seed ${seed}: ${violation?.rule}: ${violation?.said.slice(0, 300)}`);
  }
  console.log(`\nmaking the faults of seed ${first.seed} few`);
  const { result, faults } = await shrink(planOf(first.seed), first);
  for (const line of failureLines(result, faults)) console.log(line);
}

async function planted(jobs: number): Promise<void> {
  const names = PLANTED_BUGS.map(({ name }) => name).filter((name) => values.bug === undefined || name === values.bug);
  if (names.length === 0) throw new Error(`there is no planted bug '${values.bug}'`);
  const left = [...names];
  let found = 0;
  const search = async (): Promise<void> => {
    for (let name = left.shift(); name !== undefined; name = left.shift()) {
      const at = await findPlanted(name, QUICK_SEEDS);
      if (at !== undefined) found += 1;
      console.log(
        `${name.padEnd(52)} ${at === undefined ? 'NOT FOUND' : `seed ${String(at.seed).padStart(2)}  ${at.rule}: ${at.said.slice(0, 140)}`}`,
      );
    }
  };
  await Promise.all(Array.from({ length: jobs }, search));
  console.log(`${found} of ${names.length} planted bugs found within ${QUICK_SEEDS} seeds and the scenarios`);
  if (found < names.length) process.exitCode = 1;
}

const jobs = Math.max(1, number(values.jobs));
if (values.help) console.log(USAGE);
else if (values.child !== undefined) await serveRange(parseRange(values.child), values.plant !== undefined);
else if (values.large) await serveScale();
else if (values.scale) process.exitCode = await runInLargeProcess();
else if (values.planted) await planted(jobs);
else if (values.seed !== undefined) await one(number(values.seed));
else await many(number(values.from), number(values.seeds), jobs);
