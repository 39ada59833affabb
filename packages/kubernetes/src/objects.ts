// Kubernetes' objects as JSON has them: no classes, and times are texts.
import type { V1Container, V1ContainerStatus, V1EnvVar, V1Pod, V1PodSpec, V1Secret } from '@kubernetes/client-node';

type Plain<T> = T extends Date
  ? string
  : T extends readonly (infer U)[]
    ? Plain<U>[]
    : T extends object
      ? { [K in keyof T]: Plain<T[K]> }
      : T;

export type Pod = Plain<V1Pod>;
export type PodSpec = Plain<V1PodSpec>;
export type Container = Plain<V1Container>;
export type ContainerStatus = Plain<V1ContainerStatus>;
export type EnvVar = Plain<V1EnvVar>;
export type Secret = Plain<V1Secret>;
