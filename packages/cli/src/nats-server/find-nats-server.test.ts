import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readEnvironment } from '../config.ts';
import { NatsServerCache } from './cache.ts';
import { type FindOptions, findNatsServer } from './find-nats-server.ts';
import { fetchOfficialRelease, RELEASE_VERSION } from './official-release.ts';
import { type RunProgram, runProgram } from './run-program.ts';

let folder: string;
let server: Server | undefined;
let lines: string[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'muster-test-'));
  lines = [];
});
afterEach(async () => {
  await new Promise((resolve) => (server === undefined ? resolve(undefined) : server.close(resolve)));
  server = undefined;
  rmSync(folder, { recursive: true, force: true });
});

/** A program that says its version as nats-server does. */
function program(path: string, version: string): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `#!/bin/sh\necho "nats-server: v${version}"\n`, { mode: 0o755 });
  return path;
}

function environment(extra: Record<string, string> = {}) {
  return readEnvironment({ PATH: join(folder, 'bin'), XDG_CACHE_HOME: join(folder, 'cache'), TMPDIR: folder, ...extra });
}

const nothing: RunProgram = async () => ({ code: 127, stdout: '', said: 'not found' });

/** Runs what is in the test's folder, and `tar`; no package manager. */
const withoutPackages: RunProgram = (command, args, options) =>
  command.startsWith(folder) || command === 'tar' ? runProgram(command, args, options) : nothing(command, args, options);

function find(options: Partial<FindOptions> = {}) {
  return findNatsServer({ environment: environment(), say: (line) => lines.push(line), run: withoutPackages, isRoot: true, ...options });
}

const names = { platform: 'linux', architecture: 'x64' };
const archiveName = `nats-server-v${RELEASE_VERSION}-linux-amd64`;

/** Serves a release as GitHub does; `sum` stands in for the archive's own. */
async function serveRelease(sum?: string): Promise<string> {
  const content = join(folder, 'content');
  program(join(content, archiveName, 'nats-server'), RELEASE_VERSION);
  execFileSync('tar', ['-czf', join(folder, 'release.tar.gz'), '-C', content, archiveName]);
  const archive = readFileSync(join(folder, 'release.tar.gz'));
  const sums = `${'0'.repeat(64)}  other.tar.gz\n${sum ?? createHash('sha256').update(archive).digest('hex')}  ${archiveName}.tar.gz\n`;
  server = createServer((request, response) => {
    if (request.url === `/v${RELEASE_VERSION}/SHA256SUMS`) response.end(sums);
    else if (request.url === `/v${RELEASE_VERSION}/${archiveName}.tar.gz`) response.end(archive);
    else response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const release = (baseUrl: string, more: object = {}) =>
  fetchOfficialRelease({
    cache: new NatsServerCache(environment().cacheFolder),
    run: withoutPackages,
    tempFolder: folder,
    say: (line) => lines.push(line),
    baseUrl,
    ...names,
    ...more,
  });

test('MUSTER_NATS_SERVER is taken before everything else, and must run', async () => {
  program(join(folder, 'bin', 'nats-server'), '2.10.0');
  const named = program(join(folder, 'named'), '2.9.10');
  const found = await find({ environment: environment({ MUSTER_NATS_SERVER: named }) });
  expect(found).toEqual({ path: named, version: '2.9.10', from: 'MUSTER_NATS_SERVER' });
  await expect(find({ environment: environment({ MUSTER_NATS_SERVER: join(folder, 'missing') }) })).rejects.toMatchObject({
    code: 'not-found',
  });
  expect(lines).toEqual([]);
});

test('the PATH comes before the cache, and the newest of the cache is taken', async () => {
  const cached = (version: string) => program(join(folder, 'cache', 'muster', 'nats-server', version, 'nats-server'), version);
  cached('2.9.10');
  const newest = cached('2.12.3');
  expect(await find()).toEqual({ path: newest, version: '2.12.3', from: 'cache' });
  const onPath = program(join(folder, 'bin', 'nats-server'), '2.9.1');
  expect(await find()).toEqual({ path: onPath, version: '2.9.1', from: 'PATH' });
});

test('a Debian package is taken apart into the cache, nothing is installed', async () => {
  const ran: string[] = [];
  let isListed = false;
  const run: RunProgram = async (command, args, options) => {
    ran.push([command, ...args].join(' '));
    if (command.startsWith(folder)) return runProgram(command, args, options);
    if (command === 'sudo') isListed = args.includes('update');
    if (command === 'apt-get' && args[0] === 'download') {
      if (!isListed) return { code: 100, stdout: '', said: 'E: Unable to locate package nats-server' };
      writeFileSync(join(options?.cwd ?? '', 'nats-server_2.9.10-1_amd64.deb'), '');
    }
    if (command === 'dpkg-deb' && args[0] === '-x') program(join(options?.cwd ?? '', 'root/usr/sbin/nats-server'), '2.9.10');
    return command === 'brew' ? nothing(command, args) : { code: 0, stdout: '', said: '' };
  };
  const found = await find({ run, isRoot: false });
  expect(found).toEqual({ path: join(folder, 'cache/muster/nats-server/2.9.10/nats-server'), version: '2.9.10', from: 'package' });
  expect(ran).toContain('sudo -n apt-get update -q');
  expect(ran.filter((line) => line.includes('install'))).toEqual([]);
  expect(lines.join('\n')).toContain('apt-get update');
  expect((await find()).from).toBe('cache');
  expect(readdirSync(folder).filter((name) => name.startsWith('muster-apt-'))).toEqual([]);
});

test('Homebrew installs it where there is no apt', async () => {
  const run: RunProgram = async (command, args, options) => {
    if (command !== 'brew') return withoutPackages(command, args, options);
    if (args[0] === 'install') program(join(folder, 'brew', 'bin', 'nats-server'), '2.14.0');
    return { code: 0, stdout: args[0] === '--prefix' ? `${join(folder, 'brew')}\n` : '', said: '' };
  };
  expect(await find({ run })).toEqual({ path: join(folder, 'brew/bin/nats-server'), version: '2.14.0', from: 'package' });
});

test('the official release is verified, unpacked into the cache, and found there the next time', async () => {
  const path = await release(await serveRelease());
  expect(path).toBe(join(folder, `cache/muster/nats-server/${RELEASE_VERSION}/nats-server`));
  expect(lines).toContain('its SHA-256 is that of the release');
  expect(await find()).toMatchObject({ path, from: 'cache' });
});

test('a release whose checksum differs is not unpacked', async () => {
  const ran: string[] = [];
  const run: RunProgram = async (command) => {
    ran.push(command);
    return nothing(command, []);
  };
  const baseUrl = await serveRelease('1'.repeat(64));
  await expect(release(baseUrl, { run })).rejects.toMatchObject({ code: 'refused', message: expect.stringContaining('SHA-256') });
  expect(ran).toEqual([]);
  expect(await new NatsServerCache(environment().cacheFolder).newest()).toBeUndefined();
});

test('where nothing helps, it says so: no build for the platform, nothing at the address', async () => {
  await expect(release('http://127.0.0.1:1')).rejects.toMatchObject({ code: 'not-found' });
  await expect(release('http://127.0.0.1:1', { platform: 'plan9' })).rejects.toThrow('no nats-server release for plan9 x64');
});
