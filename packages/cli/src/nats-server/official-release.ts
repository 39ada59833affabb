import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MusterError } from '@muster/protocol';
import type { NatsServerCache } from './cache.ts';
import { versionOf } from './program-version.ts';
import type { RunProgram } from './run-program.ts';

/** The release that is fetched: the newest one that all of Muster's suites have passed on. */
export const RELEASE_VERSION = '2.15.1';
const RELEASES = 'https://github.com/nats-io/nats-server/releases/download';
const ARCHIVE_BYTES_MAX = 64 * 1024 * 1024;
const FETCH_MS = 120_000;

const PLATFORMS: Readonly<Record<string, string>> = {
  'linux x64': 'linux-amd64',
  'linux arm64': 'linux-arm64',
  'linux arm': 'linux-arm7',
  'darwin x64': 'darwin-amd64',
  'darwin arm64': 'darwin-arm64',
};

export interface ReleaseOptions {
  readonly cache: NatsServerCache;
  readonly run: RunProgram;
  readonly tempFolder: string;
  readonly say: (line: string) => void;
  /** Where releases are, `<base>/v<version>/<file>`; default GitHub. */
  readonly baseUrl?: string | undefined;
  readonly platform?: string;
  readonly architecture?: string;
}

/**
 * The official build for this platform, whose SHA-256 is that of the release's list before anything of it is unpacked.
 * @throws MusterError `not-found` (no build for this platform, or it cannot be fetched), `refused` (the checksum differs)
 */
export async function fetchOfficialRelease(options: ReleaseOptions): Promise<string> {
  const { run, say, platform = process.platform, architecture = process.arch, baseUrl = RELEASES } = options;
  const target = PLATFORMS[`${platform} ${architecture}`];
  if (target === undefined) throw new MusterError('not-found', `there is no nats-server release for ${platform} ${architecture}`);
  const name = `nats-server-v${RELEASE_VERSION}-${target}`;
  const folderUrl = `${baseUrl.replace(/\/+$/, '')}/v${RELEASE_VERSION}`;
  say(`fetching nats-server ${RELEASE_VERSION} (${folderUrl}/${name}.tar.gz)`);
  const sums = new TextDecoder().decode(await fetchBytes(`${folderUrl}/SHA256SUMS`));
  const expected = checksumOf(sums, `${name}.tar.gz`);
  if (expected === undefined) throw new MusterError('refused', `${folderUrl}/SHA256SUMS does not list ${name}.tar.gz`);
  const archive = await fetchBytes(`${folderUrl}/${name}.tar.gz`);
  const actual = createHash('sha256').update(archive).digest('hex');
  if (actual !== expected) throw new MusterError('refused', `${name}.tar.gz has the SHA-256 ${actual}, the release says ${expected}`);
  say('its SHA-256 is that of the release');
  const folder = await mkdtemp(join(options.tempFolder, 'muster-release-'));
  try {
    await writeFile(join(folder, 'archive.tar.gz'), archive);
    const unpacked = await run('tar', ['-xzf', 'archive.tar.gz'], { cwd: folder });
    const program = join(folder, name, 'nats-server');
    const version = unpacked.code === 0 ? await versionOf(program, run) : undefined;
    if (version === undefined) throw new MusterError('not-found', `${name}.tar.gz brings no program that runs: ${unpacked.said}`);
    const path = await options.cache.put(version, program);
    say(`put nats-server ${version} into ${path}`);
    return path;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Lines of `sha256sum`: the sum, blanks, an asterisk for binary files, the name. */
function checksumOf(sums: string, name: string): string | undefined {
  for (const line of sums.split('\n')) {
    const [, sum, file] = /^([0-9a-fA-F]{64})\s+\*?(\S+)\s*$/.exec(line) ?? [];
    if (sum !== undefined && file === name) return sum.toLowerCase();
  }
  return undefined;
}

async function fetchBytes(url: string): Promise<Uint8Array> {
  let response: Response;
  try {
    response = await fetch(url, { signal: AbortSignal.timeout(FETCH_MS) });
  } catch (cause) {
    const said = cause instanceof Error && cause.cause instanceof Error ? cause.cause.message : String(cause);
    throw new MusterError('not-found', `${url} could not be fetched: ${said}`, { cause });
  }
  if (!response.ok || response.body === null) throw new MusterError('not-found', `${url} answered ${response.status}`);
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body) {
    length += chunk.length;
    if (length > ARCHIVE_BYTES_MAX) throw new MusterError('payload-too-large', `${url} has more than ${ARCHIVE_BYTES_MAX} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
