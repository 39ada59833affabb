export { type Intended } from './bench/history/intent-rule.ts';
export {
  type Caps,
  DONE,
  type LiveReservation,
  ReservationHistory,
} from './bench/history/reservation-history.ts';
export { type Environment, readEnvironment } from './config.ts';
export { type FindOptions, findNatsServer, type NatsServerProgram } from './nats-server/find-nats-server.ts';
