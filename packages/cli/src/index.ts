export { type Environment, readEnvironment } from './config.ts';
export { type FindOptions, findNatsServer, type NatsServerProgram } from './nats-server/find-nats-server.ts';
