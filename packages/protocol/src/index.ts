export * from './admin.ts';
export * from './codec.ts';
export * from './config/parse.ts';
export * from './errors.ts';
export * from './schemas.ts';
export * from './subjects.ts';
export * from './tokens.ts';
