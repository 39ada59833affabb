import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** A certificate that vouches for itself, and its key; PEM. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

const ARGUMENTS =
  'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=kubernetes-double -addext subjectAltName=IP:127.0.0.1,DNS:localhost -keyout - -out -';

/** For this machine's own address, made by the `openssl` command. @throws Error where there is none */
export async function makeCertificate(): Promise<Certificate> {
  const { stdout } = await promisify(execFile)('openssl', ARGUMENTS.split(' '));
  const part = (label: string): string => new RegExp(`-----BEGIN ${label}-----[\\s\\S]+?-----END ${label}-----\\n`).exec(stdout)?.[0] ?? '';
  return { cert: part('CERTIFICATE'), key: part('PRIVATE KEY') };
}
