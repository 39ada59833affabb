// The fault suite by hand: `npm run faults -- --duration 10m --servers 3`.
import { parseArgs } from 'node:util';
import { parseDuration } from '@muster/domain';
import { natsServerBinaries } from '@muster/testkit';
import findServers from '../../global-setup.ts';
import { newestNats } from '../support/cluster.ts';
import { FAULTS } from './faults.ts';
import { tableOf } from './report.ts';
import { runFaults } from './run.ts';

const HELP = `npm run faults -- [--duration 5m] [--servers 1|3] [--seed N] [--only FAULT]... [--nats VERSION] [--history FILE]

Starts a cluster of real processes, breaks one thing after the other for so long, and says whether anybody was wronged.
--nats takes the version of one of the servers in MUSTER_TEST_NATS_SERVERS; without, it is the newest.

${FAULTS.map(({ name }) => `  ${name}`).join('\n')}
`;

const say = (line: string): void => void process.stdout.write(`${line}\n`);

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      duration: { type: 'string', default: '5m' },
      servers: { type: 'string', default: '1' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
      only: { type: 'string', multiple: true },
      nats: { type: 'string' },
      history: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  const unknown = values.only?.filter((one) => !FAULTS.some(({ name }) => name === one)) ?? [];
  if (values.help || unknown.length > 0 || !['1', '3'].includes(values.servers)) {
    say(`${unknown.map((one) => `there is no fault ${one}\n`).join('')}${HELP}`);
    return values.help ? 0 : 2;
  }
  await findServers();
  const nats = values.nats === undefined ? newestNats() : natsServerBinaries().find(({ version }) => version === values.nats);
  if (nats === undefined) throw new Error(`there is no nats-server ${values.nats}`);
  const seed = Number(values.seed);
  const servers = values.servers === '3' ? 3 : 1;
  say(`nats-server ${nats.version}, ${servers === 3 ? 'three of them' : 'one'}, seed ${seed}`);
  const report = await runFaults({
    servers,
    nats,
    seed,
    durationMs: parseDuration(values.duration),
    ...(values.only === undefined ? {} : { only: values.only }),
    ...(values.history === undefined ? {} : { historyFile: values.history }),
    say,
  });
  say(`\n${tableOf(report)}`);
  return report.violations.length === 0 ? 0 : 1;
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    process.exit(1);
  },
);
