// A double of the Kubernetes API server: real HTTP, real watch streams, and the answers of the real one.
//
// How to use it:
//   await using double = await startKubernetesDouble({ namespaces: ['pool'] });
//   double.url, double.adminToken                      where it is, and a token that may do everything
//   await double.writeKubeconfig(path, { namespace })  for a client that wants a file
//   double.objects('pods', 'pool')                     what is there now, without asking over HTTP
//   double.apply(role, binding); double.addUser('muster-test')   rights: documents, and a token that has only these
//   double.faults.add({ verbs: ['create'], resource: 'pods' }, { kind: 'refuse', status: 429, retryAfterSeconds: 2 }, 3)
//   double.compact(); await double.stop(); await double.start()   versions expire; the server goes, and comes back
//   await using cluster = await startSimulatedCluster(double.access(), { … })   nodes and pods that start, see `simulated/`
//
// What it takes: 5,000 pods and their Secrets, made by three drivers that watch in the same process, 8.3 s on two cores at a load of 5.
// A namespace with a quota takes more: its use is summed anew at each write.
//
// Not played: managed fields and server-side apply, protobuf, tables, API priority, admission but what is named here.
import { writeFile } from 'node:fs/promises';
import { type Clock, type Random, SystemClock, SystemRandom } from '@muster/ports';
import type { KubernetesAccess } from './access.ts';
import { MASTERS, serviceAccountGroups, serviceAccountUser } from './authorization.ts';
import { type Certificate, makeCertificate } from './certificate.ts';
import { Controllers } from './controllers.ts';
import { FaultPlan } from './faults.ts';
import { type AuditEntry, HttpServer } from './http-server.ts';
import { makeKubeconfig } from './kubeconfig.ts';
import type { JsonObject, KubernetesObject } from './object.ts';
import { resourceOf, resourceOfKind } from './resources.ts';
import { Store } from './store.ts';
import type { User, World } from './world.ts';
import { put } from './writes.ts';

export interface KubernetesDoubleOptions {
  readonly clock?: Clock;
  readonly random?: Random;
  /** Default: one that the operating system chooses. */
  readonly port?: number;
  /** HTTPS, with this certificate. `startKubernetesDouble` takes `true` too, and makes one. Default: plain HTTP. */
  readonly tls?: Certificate;
  /** Made besides `default` and `kube-system`. */
  readonly namespaces?: readonly string[];
  /** Writes that are remembered, for watches and pages from older versions. Default 10,000. */
  readonly historyMax?: number;
  /** Of the write before the first. Default 1000. */
  readonly revision?: number;
  /** False: nothing is collected, and a namespace that is deleted stays until somebody finalizes it. Default true. */
  readonly hasControllers?: boolean;
  /** A pod needs a service account that is there, `default` unless it names one. Default false. */
  readonly hasServiceAccounts?: boolean;
}

const HISTORY_MAX = 10_000;
const FIRST_REVISION = 1000;
const AUDIT_MAX = 10_000;
const TOKEN_LENGTH = 40;
const AUTHENTICATED = 'system:authenticated';

/** The double. Made by `startKubernetesDouble`; does not listen before `start`. */
export class KubernetesDouble implements AsyncDisposable {
  /** A token that may do everything. */
  readonly adminToken: string;
  readonly faults = new FaultPlan();
  readonly #tls: Certificate | undefined;
  readonly #world: World;
  readonly #server: HttpServer;
  readonly #controllers: Controllers | undefined;
  readonly #users = new Map<string, User>();
  readonly #audit: AuditEntry[] = [];

  constructor(options: KubernetesDoubleOptions = {}) {
    const { clock = new SystemClock(), random = new SystemRandom(), hasControllers = true, hasServiceAccounts = false } = options;
    this.#tls = options.tls;
    const store = new Store({ revision: options.revision ?? FIRST_REVISION, historyMax: options.historyMax ?? HISTORY_MAX });
    this.#world = { store, clock, random, hasControllers, hasServiceAccounts };
    this.#controllers = hasControllers ? new Controllers(this.#world) : undefined;
    this.#server = new HttpServer(
      {
        world: this.#world,
        faults: this.faults,
        tls: options.tls,
        certified: { name: 'kubernetes-admin', groups: [MASTERS, AUTHENTICATED] },
        userOf: (token) => this.#users.get(token),
        issueToken: (namespace, name) =>
          this.#issue({ name: serviceAccountUser(namespace, name), groups: serviceAccountGroups(namespace) }),
        audit: (entry) => this.#remember(entry),
      },
      options.port ?? 0,
    );
    this.adminToken = this.addUser('admin', [MASTERS]);
    for (const name of ['default', 'kube-system', ...(options.namespaces ?? [])]) {
      this.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
    }
  }

  get port(): number {
    return this.#server.port;
  }

  get url(): string {
    return `${this.#tls === undefined ? 'http' : 'https'}://127.0.0.1:${this.port}`;
  }

  /** Of the last write. */
  get revision(): number {
    return this.#world.store.revision;
  }

  /** The last 10,000 requests, in the order in which they were answered. */
  get requests(): readonly AuditEntry[] {
    return this.#audit;
  }

  /** A new user, with no rights but those that stored roles give; returns the token. */
  addUser(name: string, groups: readonly string[] = []): string {
    return this.#issue({ name, groups: [...groups, AUTHENTICATED] });
  }

  /** Nobody has this token any more. */
  removeToken(token: string): void {
    this.#users.delete(token);
  }

  /** Where a client goes in, by default as the administrator. */
  access(token = this.adminToken): KubernetesAccess {
    return { server: this.url, token, ...(this.#tls === undefined ? {} : { ca: this.#tls.cert }) };
  }

  /** As the administrator too, but by a certificate, as most kubeconfigs of administrators have it. @throws Error without TLS */
  accessByCertificate(): KubernetesAccess {
    if (this.#tls === undefined) throw new Error('the double was started without TLS');
    return { server: this.url, ca: this.#tls.cert, ...this.#tls };
  }

  /** The text of a kubeconfig file. */
  kubeconfig(options: { readonly token?: string; readonly namespace?: string } = {}): string {
    return makeKubeconfig(this.access(options.token), options.namespace);
  }

  async writeKubeconfig(path: string, options: { readonly token?: string; readonly namespace?: string } = {}): Promise<void> {
    await writeFile(path, this.kubeconfig(options), { mode: 0o600 });
  }

  /** Stores documents as they are, made or replaced, without any right or validation. */
  apply(...documents: readonly JsonObject[]): void {
    for (const document of documents) put(this.#world, resourceOfKind(String(document['apiVersion']), String(document['kind'])), document);
  }

  /** What is there now, in the order of lists. */
  objects(plural: string, namespace?: string): readonly KubernetesObject[] {
    return this.#world.store.list(resourceOf(plural), namespace);
  }

  find(plural: string, namespace: string | undefined, name: string): KubernetesObject | undefined {
    return this.#world.store.get(resourceOf(plural), namespace, name);
  }

  /** Older versions than the present ones are gone: watches and pages from them are refused. */
  compact(): void {
    this.#world.store.compact();
  }

  /** Listens, on the port that it had before where there was one. */
  async start(): Promise<void> {
    await this.#server.start();
  }

  /** Breaks every connection and listens no more. What is stored stays. */
  async stop(): Promise<void> {
    await this.#server.stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#controllers?.close();
    await this.stop();
  }

  #issue(user: User): string {
    const token = this.#world.random.id(TOKEN_LENGTH);
    this.#users.set(token, user);
    return token;
  }

  #remember(entry: AuditEntry): void {
    this.#audit.push(entry);
    if (this.#audit.length > 2 * AUDIT_MAX) this.#audit.splice(0, AUDIT_MAX);
  }
}

/** A double that listens; `await using` ends it. */
export async function startKubernetesDouble(
  options: Omit<KubernetesDoubleOptions, 'tls'> & { readonly tls?: Certificate | boolean } = {},
): Promise<KubernetesDouble> {
  const { tls, ...rest } = options;
  const certificate = tls === true ? await makeCertificate() : tls;
  const double = new KubernetesDouble({ ...rest, ...(certificate === undefined || certificate === false ? {} : { tls: certificate }) });
  await double.start();
  return double;
}
