import { isMusterError, type MusterError } from '@muster/protocol';

/** What the command ends with; docs/reference/cli.md lists them. */
export const EXIT = { ok: 0, failure: 1, usage: 2, miss: 3 } as const;

/** A command that could not do what it was asked, in one line, with what to try. */
export class CliError extends Error {
  readonly code: string;
  readonly hint: string | undefined;
  readonly exitCode: number;
  readonly field: string | undefined;
  /** The command's own answer on stdout says so already. */
  readonly isAnswered: boolean;

  constructor(
    code: string,
    message: string,
    options: {
      readonly hint?: string;
      readonly exitCode?: number;
      readonly field?: string | undefined;
      readonly isAnswered?: boolean;
      readonly cause?: unknown;
    } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'CliError';
    this.code = code;
    this.hint = options.hint;
    this.exitCode = options.exitCode ?? EXIT.failure;
    this.field = options.field;
    this.isAnswered = options.isAnswered ?? false;
  }
}

/** Any error as one that can be shown. */
export function cliErrorOf(error: unknown): CliError {
  if (error instanceof CliError) return error;
  if (isMusterError(error)) return new CliError(error.code, error.message, { ...hintFor(error), field: error.field, cause: error });
  const message = error instanceof Error ? error.message : String(error);
  return new CliError('internal', message.split('\n')[0] ?? message, { cause: error });
}

function hintFor(error: MusterError): { readonly hint?: string; readonly exitCode?: number } {
  switch (error.code) {
    case 'no-responders':
      return { hint: "is a replica running? 'muster up' starts a cluster" };
    case 'disconnected':
      if (error.field !== undefined) return { hint: tlsHint(error.field) };
      return { hint: "is NATS running there? 'muster up' starts a cluster; --nats names another" };
    case 'unauthorized':
      return { hint: 'name a file of credentials with --creds; docs/guide/security.md says who may do what' };
    case 'timeout':
      return { hint: "try again; 'muster status' shows the replicas and the shards" };
    case 'bad-request':
    case 'payload-too-large':
      return { exitCode: EXIT.usage };
    case 'ended':
      return { hint: 'ask with a new request id' };
    default:
      return {};
  }
}

/** What mends a link that fails at this setting of `nats.tls`. */
export function tlsHint(field: string): string {
  switch (field) {
    case 'nats.tls.ca':
      return 'name the authority with nats.tls.ca in muster.yaml, or MUSTER_NATS_CA_FILE; is its certificate the one that the servers have now?';
    case 'nats.tls.cert':
      return 'name a certificate and its key with nats.tls in muster.yaml, or MUSTER_NATS_CERT_FILE and MUSTER_NATS_KEY_FILE';
    case 'nats.servers':
      return 'name the server as its certificate does, or have it name this address too';
    default:
      return 'see nats.tls in muster.yaml, and the tls block in the configuration of the nats-server';
  }
}
