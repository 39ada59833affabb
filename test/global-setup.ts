// The suites on real servers need a nats-server: found as `muster up` finds one, and fetched once where there is none.
import { findNatsServer, readEnvironment } from '@muster/cli';

export default async function setup(): Promise<void> {
  if (process.env.MUSTER_TEST_NATS_SERVERS !== undefined) return;
  const { path } = await findNatsServer({ environment: readEnvironment(process.env), say: (line) => process.stderr.write(`${line}\n`) });
  process.env.MUSTER_TEST_NATS_SERVERS = path;
}
