// A look at a Kubernetes API, for people: changes nothing. What it asks for itself (namespace, quotas) a replica's own rights
// do not include, so there it may only say that it could not see.
import type { Clock } from '@muster/ports';
import { ApiClient } from './api/api-client.ts';
import { ApiFault, isFault } from './api/api-fault.ts';
import { TokenBucket } from './api/token-bucket.ts';
import { type Connection, openTransport } from './api/transport.ts';

/** What a replica does in the workers' namespace; `deploy/kubernetes/rbac.yaml` grants exactly this. */
export const KUBERNETES_RIGHTS: Readonly<Record<'pods' | 'secrets', readonly string[]>> = {
  pods: ['create', 'delete', 'get', 'list', 'patch', 'watch'],
  secrets: ['create', 'delete', 'get', 'list'],
};

/** One limit of the namespace, as the API has it: `pods` or `count/pods`, `requests.cpu`, … */
export interface QuotaUse {
  readonly quota: string;
  readonly resource: string;
  readonly hard: string;
  readonly used: string;
  /** Used of what is allowed, from 0 on; of nothing allowed all is used. */
  readonly share: number;
}

/** What was seen; undefined where the one who asked may not see it. */
export type KubernetesInspection =
  | {
      readonly kind: 'seen';
      readonly namespace: string;
      readonly version: string | undefined;
      readonly hasNamespace: boolean | undefined;
      /** What is needed and not allowed: `create pods`. */
      readonly missing: readonly string[];
      readonly quotas: readonly QuotaUse[] | undefined;
    }
  /** `unconfigured`: no kubeconfig, or none with such a context. */
  | { readonly kind: 'unreachable' | 'unauthenticated' | 'unconfigured'; readonly why: string };

interface QuotaList {
  readonly items: readonly {
    readonly metadata: { readonly name: string };
    readonly status?: { readonly hard?: Readonly<Record<string, string>>; readonly used?: Readonly<Record<string, string>> };
  }[];
}

const TIMEOUT_MS = 5_000;
const RATE = { perSecond: 50, burst: 50 } as const;

/** Looks at the API that a connection names, as whoever it names. Never throws for what is wrong there. */
export async function inspectKubernetes(connection: Connection, clock: Clock): Promise<KubernetesInspection> {
  let opened: Awaited<ReturnType<typeof openTransport>>;
  try {
    opened = await openTransport(connection);
  } catch (error) {
    return { kind: 'unconfigured', why: error instanceof Error ? error.message : String(error) };
  }
  const { transport, namespace } = opened;
  const api = new ApiClient({ transport, clock, bucket: new TokenBucket(clock, RATE) });
  const see = async <T>(path: string): Promise<T | undefined> => {
    try {
      return await api.call<T>({ method: 'GET', path, timeoutMs: TIMEOUT_MS });
    } catch (error) {
      if (isFault(error, 'forbidden')) return undefined;
      throw error;
    }
  };
  try {
    const missing = await missingRights(api, namespace);
    const version = await see<{ readonly gitVersion?: string }>('/version');
    const path = `/api/v1/namespaces/${namespace}`;
    const hasNamespace = await see<object>(path).then(
      (found) => (found === undefined ? undefined : true),
      (error: unknown) => {
        if (isFault(error, 'absent')) return false;
        throw error;
      },
    );
    const quotas = await see<QuotaList>(`${path}/resourcequotas`);
    return { kind: 'seen', namespace, version: version?.gitVersion, hasNamespace, missing, quotas: quotas?.items.flatMap(usesOf) };
  } catch (error) {
    if (!(error instanceof ApiFault)) throw error;
    return { kind: error.kind === 'unauthenticated' ? 'unauthenticated' : 'unreachable', why: error.message };
  } finally {
    transport.close();
  }
}

async function missingRights(api: ApiClient, namespace: string): Promise<readonly string[]> {
  const missing: string[] = [];
  for (const [resource, verbs] of Object.entries(KUBERNETES_RIGHTS)) {
    for (const verb of verbs) {
      const { status } = await api.call<{ readonly status?: { readonly allowed?: boolean } }>({
        method: 'POST',
        path: '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews',
        body: {
          apiVersion: 'authorization.k8s.io/v1',
          kind: 'SelfSubjectAccessReview',
          spec: { resourceAttributes: { namespace, verb, resource } },
        },
        timeoutMs: TIMEOUT_MS,
      });
      if (status?.allowed !== true) missing.push(`${verb} ${resource}`);
    }
  }
  return missing;
}

function usesOf({ metadata: { name }, status }: QuotaList['items'][number]): readonly QuotaUse[] {
  return Object.entries(status?.hard ?? {}).map(([resource, hard]) => {
    const used = status?.used?.[resource] ?? '0';
    const limit = quantityOf(hard);
    return { quota: name, resource, hard, used, share: limit === 0 ? 1 : quantityOf(used) / limit };
  });
}

/** Thousandths and below, thousands and above. */
const SMALL = ['n', 'u', 'm'];
const LARGE = ['k', 'M', 'G', 'T', 'P', 'E'];

/** `500m`, `1Gi`, `2`. @throws Error where it is none: the API server writes no others */
function quantityOf(text: string): number {
  const [, digits, suffix = '', binary] = /^([\d.]+(?:e\d+)?)([numkMGTPEK]?)(i?)$/.exec(text) ?? [];
  if (digits === undefined) throw new Error(`${text} is no quantity`);
  if (suffix === '') return Number(digits);
  if (SMALL.includes(suffix)) return Number(digits) / 1000 ** (SMALL.length - SMALL.indexOf(suffix));
  const power = LARGE.indexOf(suffix === 'K' ? 'k' : suffix) + 1;
  return Number(digits) * (binary === 'i' ? 1024 : 1000) ** power;
}
