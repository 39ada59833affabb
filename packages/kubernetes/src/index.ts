export { type ApiFault, faultOf } from './api/api-fault.ts';
export { outcomeOfFault } from './create-outcome.ts';
export { buildPod, buildSecret, type PodDefaults } from './pod/build-pod.ts';
export { type PodState, podStateOf } from './pod/pod-state.ts';
export { WORKER_FAULTS, type WorkerFault } from './worker-fault.ts';
