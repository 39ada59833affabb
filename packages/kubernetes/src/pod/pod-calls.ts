// The calls that make and remove the pod and the Secret of a slot, each safe to repeat: the slot is their name.
import type { CreateOutcome, WorkerSpec } from '@muster/ports';
import type { ApiClient } from '../api/api-client.ts';
import { ApiFault, isFault } from '../api/api-fault.ts';
import { LABELS, slotLabels } from '../labels.ts';
import type { Pod, Secret } from '../objects.ts';
import { faultText } from '../worker-fault.ts';
import { buildPod, buildSecret, type PodDefaults } from './build-pod.ts';
import { podStateOf } from './pod-state.ts';

/** A field that the server does not know is an error, and not dropped. */
const STRICT = { fieldValidation: 'Strict' } as const;

/** Throws `ApiFault` for every answer that is not named here. */
export class PodCalls {
  readonly #api: ApiClient;
  readonly #defaults: PodDefaults;
  readonly #podsPath: string;
  readonly #secretsPath: string;
  readonly #timeoutMs: number;

  constructor(options: { readonly api: ApiClient; readonly path: string; readonly defaults: PodDefaults; readonly timeoutMs: number }) {
    this.#api = options.api;
    this.#defaults = options.defaults;
    this.#podsPath = `${options.path}/pods`;
    this.#secretsPath = `${options.path}/secrets`;
    this.#timeoutMs = options.timeoutMs;
  }

  /** The uid of the slot's pod, also where an earlier call made it; or how it has ended. */
  async makePod(worker: WorkerSpec): Promise<{ readonly uid: string } | { readonly ended: CreateOutcome }> {
    const timeoutMs = this.#timeoutMs;
    try {
      const body = buildPod(worker, this.#defaults);
      const { metadata } = await this.#api.call<Pod>({ method: 'POST', path: this.#podsPath, query: STRICT, body, timeoutMs });
      return { uid: metadata?.uid ?? '' };
    } catch (error) {
      if (!isFault(error, 'exists')) throw error;
    }
    const pod = await this.#tryPod(worker.slot);
    // Gone between the two calls: it was there, so it is not made again.
    if (pod === undefined) return { ended: { kind: 'exited', reason: faultText('deleted', 'its pod is gone') } };
    if (!isOf(pod, slotLabels(this.#defaults.cluster, worker))) {
      const reason = faultText('name-taken', `${this.#defaults.namespace}/${worker.slot} has other labels`);
      return { ended: { kind: 'failed', reason, retryable: false } };
    }
    const { state, reason = 'ended', isLeaving } = podStateOf(pod);
    if (state === 'exited') return { ended: { kind: 'exited', reason } };
    if (isLeaving) return { ended: { kind: 'exited', reason: faultText('deleted', 'its pod is being deleted') } };
    return { uid: pod.metadata?.uid ?? '' };
  }

  async makeSecret(worker: WorkerSpec, podUid: string): Promise<void> {
    const path = `${this.#secretsPath}/${worker.slot}`;
    const timeoutMs = this.#timeoutMs;
    const body = buildSecret(worker, podUid, this.#defaults);
    const make = () => this.#api.call<Secret>({ method: 'POST', path: this.#secretsPath, query: STRICT, body, timeoutMs });
    try {
      await make();
    } catch (error) {
      if (!isFault(error, 'exists')) throw error;
      const there = await this.#api.call<Secret>({ method: 'GET', path, timeoutMs });
      if (!isOf(there, slotLabels(this.#defaults.cluster, worker))) {
        throw new ApiFault('invalid', 409, `the Secret ${worker.slot} is there and is not Muster's`);
      }
      const { uid = '', ownerReferences = [] } = there.metadata ?? {};
      if (ownerReferences.some((owner) => owner.uid === podUid)) return;
      // Of a pod of this name that was there before: it would go with that one.
      await this.#api.call({ method: 'DELETE', path, body: deleteOptions(uid), timeoutMs });
      await make();
    }
  }

  /** The uid of the pod that was told to go; undefined where none of this slot is there. */
  async deletePod(slot: string, podUid: string | undefined): Promise<string | undefined> {
    let uid = podUid ?? (await this.uidOf(slot));
    // At most two: the one that was meant, and a late one of the same slot.
    for (let tries = 0; uid !== undefined && tries < 2; tries += 1) {
      try {
        await this.#api.call({
          method: 'DELETE',
          path: `${this.#podsPath}/${slot}`,
          body: deleteOptions(uid),
          timeoutMs: this.#timeoutMs,
        });
        return uid;
      } catch (error) {
        if (isFault(error, 'absent')) return undefined;
        if (!isFault(error, 'conflict')) throw error;
        uid = await this.uidOf(slot);
      }
    }
    return uid;
  }

  async deleteSecret(slot: string): Promise<void> {
    try {
      await this.#api.call({ method: 'DELETE', path: `${this.#secretsPath}/${slot}`, timeoutMs: this.#timeoutMs });
    } catch (error) {
      if (!isFault(error, 'absent')) throw error;
    }
  }

  /** Of the pod that is there now and is this slot's. */
  async uidOf(slot: string): Promise<string | undefined> {
    const pod = await this.#tryPod(slot);
    const isOurs = pod !== undefined && isOf(pod, { [LABELS.cluster]: this.#defaults.cluster, [LABELS.slot]: slot });
    return isOurs ? pod.metadata?.uid : undefined;
  }

  async #tryPod(slot: string): Promise<Pod | undefined> {
    try {
      return await this.#api.call<Pod>({ method: 'GET', path: `${this.#podsPath}/${slot}`, timeoutMs: this.#timeoutMs });
    } catch (error) {
      if (isFault(error, 'absent')) return undefined;
      throw error;
    }
  }
}

function deleteOptions(uid: string) {
  return { apiVersion: 'v1', kind: 'DeleteOptions', preconditions: { uid } };
}

function isOf(object: Pod | Secret, labels: Readonly<Record<string, string>>): boolean {
  const there = object.metadata?.labels ?? {};
  return Object.entries(labels).every(([name, value]) => there[name] === value);
}
