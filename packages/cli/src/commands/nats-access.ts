import { resolve } from 'node:path';
import {
  ACCESS_KINDS,
  type AccessBook,
  type AccessKind,
  newAccessBook,
  ROLES,
  type Role,
  type UserWanted,
  userNameOf,
  withRetired,
  withRotated,
  withUsers,
} from '@muster/nats';
import { isMusterError } from '@muster/protocol';
import { InvalidArgumentError, Option } from 'commander';
import { AccessFolder } from '../cluster/access-folder.ts';
import { tryConfigurationOf } from '../cluster/configuration-file.ts';
import { findServers } from '../cluster/find-servers.ts';
import type { CliContext } from '../context.ts';
import { CliError, EXIT } from '../exit.ts';
import {
  type ClusterOptions,
  type RegisterCommands,
  show,
  usageError,
  wholeNumberArgument,
  withClusterOptions,
} from './cluster-command.ts';

interface ConfigOptions {
  readonly out: string;
  readonly cluster?: string;
  readonly auth?: AccessKind;
  readonly user: readonly UserWanted[];
  readonly rotate: readonly string[];
  readonly retire?: boolean;
  readonly json?: boolean;
}

interface SetupOptions extends ClusterOptions {
  readonly cluster?: string;
  readonly replicas?: number;
}

/** Whom every cluster has. */
const STANDARD: readonly UserWanted[] = (['setup', 'replica', 'host', 'worker', 'client', 'observer', 'admin'] as const).map((role) => ({
  role,
}));
const NAMED: readonly Role[] = ['client', 'host'];
const CLUSTER_NAME = /^[a-z0-9][a-z0-9-]{0,31}$/;

/** `nats-config`, `nats-setup`: who may do what on NATS, and the streams that a cluster needs. */
export const registerNatsAccess: RegisterCommands = (program, context) => {
  program
    .command('nats-config')
    .description('make users, their secrets and permissions for a nats-server, or change those that were made')
    .requiredOption('--out <folder>', 'where they are written, and were before')
    .option('--cluster <name>', "default: the one of the folder's muster.yaml")
    .addOption(new Option('--auth <kind>', 'how users prove who they are; default jwt').choices(ACCESS_KINDS))
    .option('--user <role[-name]>', 'one more: client-NAME, host-NAME, simulator, anonymous', userArgument, [])
    .option('--rotate <user>', 'a new secret; the old one is valid until --retire', collect, [])
    .option('--retire', 'secrets that were rotated away are void')
    .option('--json', 'print one JSON object instead of text')
    .action((options: ConfigOptions) => configure(context, options));

  withClusterOptions(program.command('nats-setup'))
    .description('make the streams of a cluster, which replicas may not, and check that they can be relied on')
    .option('--cluster <name>', "default: the one of the folder's muster.yaml")
    .option('--replicas <n>', "copies of the journals; default: nats.replicas of the folder's muster.yaml", wholeNumberArgument(1, 5))
    .action((options: SetupOptions) => setUp(context, options));
};

async function configure(context: CliContext, options: ConfigOptions): Promise<void> {
  const folder = new AccessFolder(resolve(context.folder, options.out));
  const known = folder.tryBook();
  if (known !== undefined && options.auth !== undefined && options.auth !== known.kind) {
    throw usageError(`${options.out} has users with ${known.kind}: another folder is needed for ${options.auth}`);
  }
  if (known !== undefined && options.cluster !== undefined && options.cluster !== known.cluster) {
    throw usageError(`${options.out} has the users of cluster ${known.cluster}, not of ${options.cluster}`);
  }
  const book = changed(known ?? newAccessBook(clusterOf(context, options.cluster), options.auth ?? 'jwt', STANDARD), options, context);
  const { files } = await folder.write(book);
  const answer = { ok: true, cluster: book.cluster, auth: book.kind, folder: folder.path, users: book.users.map(userNameOf), files };
  show(context, options, answer, () =>
    [
      `cluster ${book.cluster}, ${book.kind}: users ${answer.users.join(', ')}`,
      ...files,
      `include access.conf in each nats-server's configuration, and start it or have it read that again: nats-server --signal reload`,
    ].join('\n'),
  );
}

function changed(book: AccessBook, options: ConfigOptions, { clock }: CliContext): AccessBook {
  const kept = options.retire === true ? withRetired(book, clock.wallMs()) : book;
  return withRotated(withUsers(kept, options.user), options.rotate);
}

async function setUp(context: CliContext, options: SetupOptions): Promise<void> {
  const cluster = clusterOf(context, options.cluster);
  const replicas = options.replicas ?? tryConfigurationOf(context.folder)?.natsReplicas ?? 1;
  const target = findServers(context, options);
  const nats = await context.dial(target).catch((cause: unknown) => {
    if (!isMusterError(cause)) throw cause;
    throw new CliError(cause.code, `no connection to NATS at ${target.servers.join(', ')}: ${cause.message}`, { cause });
  });
  try {
    const store = await nats.openClusterStore({ cluster, replicas });
    store.close();
    const { version } = store.server;
    show(
      context,
      options,
      { ok: true, cluster, replicas, version },
      () => `cluster ${cluster} is set up on nats-server ${version}, ${replicas} copies`,
    );
  } finally {
    await nats.close();
  }
}

function clusterOf(context: CliContext, given: string | undefined): string {
  const name = given ?? tryConfigurationOf(context.folder)?.cluster;
  if (name === undefined)
    throw new CliError('usage', 'whose cluster? there is no muster.yaml here', { hint: 'name it with --cluster', exitCode: EXIT.usage });
  if (!CLUSTER_NAME.test(name)) throw usageError('--cluster must be lower case letters, digits and -, at most 32');
  return name;
}

function userArgument(text: string, before: readonly UserWanted[]): readonly UserWanted[] {
  const [, role = '', name] = /^([a-z]+)(?:-([A-Za-z0-9_-]{1,64}))?$/.exec(text) ?? [];
  if (!isRole(role)) throw new InvalidArgumentError(`must begin with one of ${ROLES.join(', ')}.`);
  if (name !== undefined && !NAMED.includes(role)) throw new InvalidArgumentError(`${role} has no name.`);
  return [...before, { role, ...(name === undefined ? {} : { name }) }];
}

function isRole(text: string): text is Role {
  return (ROLES as readonly string[]).includes(text);
}

function collect(text: string, before: readonly string[]): readonly string[] {
  return [...before, text];
}
