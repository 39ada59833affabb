// A worker for tests: the real contract, no work. `FIXTURE_BEHAVIOUR` says what is odd about it.
import { silentLogger } from '@muster/ports';
import { connectWorker, workerIdentityFromEnv } from '@muster/worker';

const behaviour = process.env['FIXTURE_BEHAVIOUR'];
if (behaviour === 'fails') process.exit(3);
if (behaviour === 'stubborn') {
  // Ignores SIGTERM, and has a child of its own that must not outlive it.
  const { spawn } = await import('node:child_process');
  const child = spawn('sleep', ['1000'], { stdio: 'ignore' });
  process.on('SIGTERM', () => process.stdout.write('SIGTERM is ignored\n'));
  process.stdout.write(`child ${child.pid}\n`);
}
const worker = await connectWorker({
  environment: workerIdentityFromEnv(),
  logger: silentLogger,
  endpoint: `fixture://${process.pid}`,
  version: '1.0.0',
  onActivate: () => undefined,
  onReset: () => undefined,
  ...(behaviour === 'stubborn' ? { onDrain: () => new Promise<void>(() => undefined), timings: { drainGraceMs: 600_000 } } : {}),
});
process.stdout.write(`speaks for its slot as ${worker.instance}\n`);
