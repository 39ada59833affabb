export type { Connection } from './api/transport.ts';
export { inspectKubernetes, KUBERNETES_RIGHTS, type KubernetesInspection, type QuotaUse } from './inspect.ts';
export { KubernetesDriver, type KubernetesDriverOptions } from './kubernetes-driver.ts';
export { KUBERNETES_TIMINGS, type KubernetesTimings } from './timings.ts';
export { WORKER_FAULTS, type WorkerFault } from './worker-fault.ts';
