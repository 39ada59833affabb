import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { basename, join } from 'node:path';
import type { DataFolder } from './data-folder.ts';
import type { Launch } from './supervised-process.ts';

const DEFAULT_PORT = 4222;
/** The server chooses one, and writes it into its ports file. */
const ANY_PORT = -1;

/** The port to ask for: the folder's own, else NATS's usual one where it is free, else any. */
export async function choosePort(data: DataFolder): Promise<number> {
  return data.state.natsPort ?? ((await isFree(DEFAULT_PORT)) ? DEFAULT_PORT : ANY_PORT);
}

/** How to start the folder's nats-server: JetStream on its store, for this machine only, with `access` as to who may what. */
export function natsLaunch(program: string, data: DataFolder, cluster: string, port: number, access: string, env: Launch['env']): Launch {
  const config = join(data.path, 'nats-server.conf');
  const lines = [
    `server_name: ${JSON.stringify(`muster-${cluster}`)}`,
    `listen: ${JSON.stringify(`127.0.0.1:${port}`)}`,
    `ports_file_dir: ${JSON.stringify(data.runFolder)}`,
    `jetstream { store_dir: ${JSON.stringify(data.natsFolder)} }`,
    access,
  ];
  writeFileSync(config, `${lines.join('\n')}\n`, { mode: 0o600 });
  return { command: program, args: ['-c', config], env, folder: data.path };
}

/** The port that the server of this pid listens on; undefined while it does not yet. */
export function tryPortOf(program: string, data: DataFolder, pid: number): number | undefined {
  try {
    const text = readFileSync(join(data.runFolder, `${basename(program)}_${pid}.ports`), 'utf8');
    const { nats } = JSON.parse(text) as { nats?: readonly string[] };
    const port = Number(new URL(nats?.[0] ?? '').port);
    return port > 0 ? port : undefined;
  } catch {
    return undefined; // not written yet, or half
  }
}

/** A ports file stays where its server was killed. */
export function forgetPortOf(program: string, data: DataFolder, pid: number): void {
  rmSync(join(data.runFolder, `${basename(program)}_${pid}.ports`), { force: true });
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
