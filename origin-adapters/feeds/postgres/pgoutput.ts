import { type ByteReader, Unreadable } from './byte-reader.ts';
import type { Commit } from './position.ts';

/**
 * PostgreSQL manual, "Logical Replication Message Formats": reads messages of pgoutput, protocol version 1. Values
 * stay text, as Postgres writes them.
 */
export type PgOutput =
  | { readonly kind: 'begin'; readonly xid: number }
  | ({ readonly kind: 'commit' } & Omit<Commit, 'xid'>)
  | { readonly kind: 'relation'; readonly relation: Relation }
  | { readonly kind: 'insert'; readonly relationId: number; readonly row: Tuple }
  | {
      readonly kind: 'update';
      readonly relationId: number;
      readonly old: OldTuple | null;
      readonly row: Tuple;
    }
  | { readonly kind: 'delete'; readonly relationId: number; readonly old: OldTuple }
  | { readonly kind: 'truncate'; readonly relationIds: readonly number[] }
  /** Concerns no rows: a transaction's origin, a type's name, an application's message. */
  | { readonly kind: 'other' };

export interface Relation {
  readonly id: number;
  readonly schema: string;
  readonly table: string;
  readonly columns: readonly Column[];
}

export interface Column {
  readonly name: string;
  readonly typeId: number;
  /** Part of the replica identity. */
  readonly isKey: boolean;
}

/** The values in the order of the relation's columns. */
export type Tuple = readonly TupleValue[];

export type TupleValue =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'null' }
  /** A TOASTed value that did not change and is not sent. */
  | { readonly kind: 'unchanged' };

/** `key`: only columns of the replica identity have values; the others are sent as null and are unknown. */
export interface OldTuple {
  readonly kind: 'key' | 'full';
  readonly row: Tuple;
}

/** Reads one message. Throws `Unreadable` if the bytes violate the protocol. */
export function readPgOutput(reader: ByteReader): PgOutput {
  const tag = reader.tag();
  switch (tag) {
    case 'B':
      return readBegin(reader);
    case 'C':
      return readCommit(reader);
    case 'R':
      return { kind: 'relation', relation: readRelation(reader) };
    case 'I':
      return readInsert(reader);
    case 'U':
      return readUpdate(reader);
    case 'D':
      return readDelete(reader);
    case 'T':
      return readTruncate(reader);
    case 'O':
    case 'Y':
    case 'M':
      return { kind: 'other' };
    default:
      throw new Unreadable(`a message of unknown kind ${JSON.stringify(tag)}`);
  }
}

function readBegin(reader: ByteReader): PgOutput {
  // The LSN of the commit record, and the time of the commit.
  reader.skip(16);
  return { kind: 'begin', xid: reader.uint32() };
}

function readCommit(reader: ByteReader): PgOutput {
  // Flags.
  reader.skip(1);
  const beginLsn = reader.uint64();
  const endLsn = reader.uint64();
  return { kind: 'commit', beginLsn, endLsn, atMicros: reader.micros() };
}

function readRelation(reader: ByteReader): Relation {
  const id = reader.uint32();
  const schema = reader.name();
  const table = reader.name();
  // The kind of replica identity: each change has it again.
  reader.skip(1);
  const columns = Array.from({ length: reader.uint16() }, () => readColumn(reader));
  return { id, schema: schema === '' ? 'pg_catalog' : schema, table, columns };
}

function readColumn(reader: ByteReader): Column {
  const isKey = (reader.uint8() & 1) === 1;
  const name = reader.name();
  const typeId = reader.uint32();
  // The type's modifier, such as a length.
  reader.skip(4);
  return { name, typeId, isKey };
}

function readInsert(reader: ByteReader): PgOutput {
  const relationId = reader.uint32();
  expectTag(reader.tag(), 'N');
  return { kind: 'insert', relationId, row: readTuple(reader) };
}

function readUpdate(reader: ByteReader): PgOutput {
  const relationId = reader.uint32();
  const tag = reader.tag();
  if (tag === 'N') return { kind: 'update', relationId, old: null, row: readTuple(reader) };
  const old = readOld(tag, reader);
  expectTag(reader.tag(), 'N');
  return { kind: 'update', relationId, old, row: readTuple(reader) };
}

function readDelete(reader: ByteReader): PgOutput {
  const relationId = reader.uint32();
  return { kind: 'delete', relationId, old: readOld(reader.tag(), reader) };
}

function readTruncate(reader: ByteReader): PgOutput {
  const count = reader.uint32();
  // CASCADE, RESTART IDENTITY.
  reader.skip(1);
  return { kind: 'truncate', relationIds: Array.from({ length: count }, () => reader.uint32()) };
}

function readOld(tag: string, reader: ByteReader): OldTuple {
  if (tag === 'K') return { kind: 'key', row: readTuple(reader) };
  expectTag(tag, 'O');
  return { kind: 'full', row: readTuple(reader) };
}

function readTuple(reader: ByteReader): Tuple {
  return Array.from({ length: reader.uint16() }, () => readValue(reader));
}

function readValue(reader: ByteReader): TupleValue {
  const tag = reader.tag();
  switch (tag) {
    case 'n':
      return { kind: 'null' };
    case 'u':
      return { kind: 'unchanged' };
    case 't':
      return { kind: 'text', text: reader.text(reader.uint32()) };
    default:
      throw new Unreadable(`a value of unknown kind ${JSON.stringify(tag)}`);
  }
}

function expectTag(tag: string, expected: string): void {
  if (tag !== expected) throw new Unreadable(`expected ${expected}, got ${JSON.stringify(tag)}`);
}
