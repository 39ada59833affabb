// What a worker may still be told (DESIGN guarantees G8 and G9): a pure judgement of commands by their epoch.
//
// Owns: which epoch was seen last, what was answered in it, and whose data the process holds. Does not own: doing any of it.
// One command is judged, done and settled before the next one is judged.
// Invariants:
//   J1. The epoch never goes down; a command of a lower one is refused.
//   J2. In one epoch only one reservation and one org is ever heard; a repeat gets the stored answer and runs nothing.
//   J3. After a release or a reset of an epoch no activation of that epoch runs.
//   J4. Between activations for two orgs lies a reset that succeeded.
//   J5. A command for another slot or instance changes nothing.
// A reservation's id is made of slot and epoch, so a NATS that lost acknowledged writes can give one id to two orgs: that
// is why J2 compares the org too.
import type { WorkerAnswer, WorkerCommand } from '@muster/protocol';

/** The reservation that a worker serves. */
export interface Held {
  readonly org: string;
  readonly epoch: number;
  readonly reservation: string;
}

export type Settled = 'activate' | 'release' | 'reset';

export interface JudgeState {
  readonly slot: string;
  readonly instance: string;
  /** The highest epoch of any command that was judged. */
  readonly epoch: number;
  /** What that epoch is about, by the first command that named it; empty before. */
  readonly reservation: string;
  /** Whom the activation of that epoch was for, also when it was refused. */
  readonly activationOrg: string | undefined;
  readonly isClosed: boolean;
  readonly answers: { readonly [command in Settled]?: WorkerAnswer };
  /** Whose data may be in this process. */
  readonly org: string | undefined;
  readonly held: Held | undefined;
  readonly isDraining: boolean;
}

export type Verdict =
  /** Nothing is to be done; this is the answer. */
  | { readonly kind: 'answer'; readonly answer: WorkerAnswer }
  /** To be done now and then settled; `ended` is a reservation that is over because of it. */
  | { readonly kind: 'run'; readonly command: Settled; readonly ended: Held | undefined }
  | { readonly kind: 'drain' };

export interface Judgement {
  readonly state: JudgeState;
  readonly verdict: Verdict;
}

/** A worker that has heard nothing yet. */
export function initialJudgeState(slot: string, instance: string): JudgeState {
  return {
    slot,
    instance,
    epoch: 0,
    reservation: '',
    activationOrg: undefined,
    isClosed: false,
    answers: {},
    org: undefined,
    held: undefined,
    isDraining: false,
  };
}

/** True when the command is meant for this very process. */
export function isAddressee(state: JudgeState, command: WorkerCommand): boolean {
  return command.slot === state.slot && command.instance === state.instance;
}

/** Judges one command; `status` is no command in this sense, since it changes nothing. */
export function judgeCommand(state: JudgeState, command: Exclude<WorkerCommand, { type: 'status' }>): Judgement {
  if (!isAddressee(state, command)) return refuse(state, 'stale', 'the command is for another slot or instance');
  if (command.epoch < state.epoch) {
    return refuse(state, 'stale', `epoch ${command.epoch} is over, the worker has seen ${state.epoch}`);
  }
  if (command.epoch === state.epoch && !isSameReservation(state, command)) {
    return refuse(state, 'stale', `epoch ${command.epoch} belongs to another reservation`);
  }
  const seen = command.epoch > state.epoch ? beginEpoch(state, command) : nameEpoch(state, command);
  switch (command.type) {
    case 'activate':
      return judgeActivation(seen, command.org);
    case 'release':
    case 'reset': {
      const stored = seen.answers[command.type];
      if (stored !== undefined) return { state: seen, verdict: { kind: 'answer', answer: stored } };
      return {
        state: { ...seen, isClosed: true, held: undefined },
        verdict: { kind: 'run', command: command.type, ended: seen.held },
      };
    }
    case 'drain':
      if (seen.isDraining) return { state: seen, verdict: { kind: 'answer', answer: { ok: true } } };
      return { state: { ...seen, isDraining: true }, verdict: { kind: 'drain' } };
  }
}

/** Remembers how the command that was last judged `run` has ended. */
export function settleCommand(state: JudgeState, command: Settled, answer: WorkerAnswer): JudgeState {
  const settled: JudgeState = { ...state, answers: { ...state.answers, [command]: answer } };
  if (!answer.ok) return settled;
  switch (command) {
    case 'activate':
      return { ...settled, held: { org: state.activationOrg ?? '', epoch: state.epoch, reservation: state.reservation } };
    case 'release':
      return settled;
    case 'reset':
      return { ...settled, org: undefined };
  }
}

// The old reservation goes on being held until a command that ends it runs: an activation that is refused must not cut off
// the tenant that is being served.
function beginEpoch(state: JudgeState, command: { readonly epoch: number; readonly reservation: string }): JudgeState {
  return {
    ...state,
    epoch: command.epoch,
    reservation: command.reservation,
    activationOrg: undefined,
    isClosed: false,
    answers: {},
  };
}

function nameEpoch(state: JudgeState, command: { readonly reservation: string }): JudgeState {
  return state.reservation === '' && command.reservation !== '' ? { ...state, reservation: command.reservation } : state;
}

function judgeActivation(state: JudgeState, org: string): Judgement {
  if (state.isClosed) return refuse(state, 'stale', `epoch ${state.epoch} was released`);
  const stored = state.answers.activate;
  if (stored !== undefined) {
    if (state.activationOrg !== org) return refuse(state, 'stale', `epoch ${state.epoch} belongs to another org`);
    return { state, verdict: { kind: 'answer', answer: stored } };
  }
  const judged = { ...state, activationOrg: org };
  if (state.isDraining) return refuseForGood(judged, 'the worker is draining');
  if (state.org !== undefined && state.org !== org) {
    return refuseForGood(judged, 'the worker holds the data of another org and was not reset');
  }
  return { state: { ...judged, org, held: undefined }, verdict: { kind: 'run', command: 'activate', ended: state.held } };
}

// A drain may name no reservation: a warm or parked slot has none. It then fits an epoch in which nothing is held.
function isSameReservation(state: JudgeState, command: WorkerCommand): boolean {
  if (command.reservation === state.reservation || state.reservation === '') return true;
  return command.type === 'drain' && command.reservation === '' && state.held === undefined;
}

function refuse(state: JudgeState, cause: 'stale' | 'worker', message: string): Judgement {
  return { state, verdict: { kind: 'answer', answer: { ok: false, cause, message } } };
}

function refuseForGood(state: JudgeState, message: string): Judgement {
  const answer: WorkerAnswer = { ok: false, cause: 'worker', message };
  return { state: { ...state, answers: { ...state.answers, activate: answer } }, verdict: { kind: 'answer', answer } };
}
