/**
 * Weir's log: one line of JSON for each event on standard output. Lines are written before the call returns, so that none
 * is lost when the process or a worker ends, and lines of several threads are whole and in order.
 */
import { destination, pino, type Logger } from 'pino';
import type { LogConfig } from '../../policies/config/config.ts';
import type { Outcome } from './outcome.ts';

/** Each call takes an object: `event` names what happened, and the other members describe it. */
export type Log = Pick<Logger, 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal'>;

export interface LogOptions {
  readonly level: LogConfig['level'];
  /** `coordinator`, or `worker` with its number; part of every line. */
  readonly thread: string;
  /** A file descriptor. */
  readonly fd: number;
}

export const STANDARD_OUTPUT = 1;

/** Each thread creates its own logger on the same descriptor. */
export function createLog({ level, thread, fd }: LogOptions): Log {
  return logTo(lines(fd), level, thread);
}

/** The access log: one line for each request, independent of the log level. */
export function createAccessLog({ thread, fd }: Omit<LogOptions, 'level'>): AccessLog {
  return accessLogTo(lines(fd), thread);
}

/** A logger that writes to another destination. */
export function logTo(lines: LogLines, level: LogConfig['level'], thread: string): Log {
  return pino({ ...FORMAT, level, base: { pid: process.pid, thread } }, lines);
}

export function accessLogTo(lines: LogLines, thread: string): AccessLog {
  const log = pino({ ...FORMAT, level: 'info', base: { pid: process.pid, thread, event: 'request' } }, lines);
  return (record) => log.info(record);
}

/** Takes whole lines, each with its line feed. */
export interface LogLines {
  write(line: string): void;
}

export type AccessLog = (record: AccessRecord) => void;

/** One request in the access log. It has no header fields and no query, because both may contain secrets. */
export interface AccessRecord {
  readonly method: string;
  /** The path without the query. */
  readonly path: string;
  readonly status: number;
  readonly route: string;
  readonly outcome: Outcome;
  readonly reason: string;
  /** The bytes of content that were sent. */
  readonly bytes: number;
  readonly durationMs: number;
  /** The peer address of the connection. */
  readonly client: string;
  /** False: the response was cut off. */
  readonly complete: boolean;
}

const FORMAT = {
  timestamp: (): string => `,"time":"${new Date().toISOString()}"`,
  formatters: { level: (label: string): { level: string } => ({ level: label }) },
};

function lines(fd: number): LogLines {
  return destination({ fd, sync: true, minLength: 0 });
}
