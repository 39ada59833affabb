export { MusterClient, type MusterClientOptions, type ReserveOptions } from './client.ts';
export { type ConnectOptions, connect } from './connect.ts';
export { errorOf, MissError } from './errors.ts';
export { type LostListener, Reservation } from './reservation.ts';
