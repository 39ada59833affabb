export * from './admin.ts';
export * from './codec.ts';
export * from './config/nats-access.ts';
export * from './config/parse.ts';
export {
  LABEL_PREFIX,
  MANAGED_BY_LABEL,
  podTemplateOf,
  type ReadPodTemplate,
  WORKER_CONTAINER,
  workerContainerAt,
} from './config/pod-template.ts';
export * from './errors.ts';
export * from './schemas.ts';
export * from './subjects.ts';
export * from './tokens.ts';
