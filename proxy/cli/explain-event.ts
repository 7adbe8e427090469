/** `weir explain --event FILE`: what a sample message of a feed would invalidate. */
import { readFile } from 'node:fs/promises';
import type { Config, FeedConfig } from '../../policies/config/config.ts';
import type { MappedChange } from '../../policies/mapping.ts';
import { shownTag } from '../../policies/tags.ts';
import type { ExplainEventCommand } from './arguments.ts';
import { readConfigFile, type ConfigFile } from './config-file.ts';
import { explainEvent, type ExplainedEvent } from './event-explanation.ts';
import { printInvalid } from './failure.ts';
import type { Output } from './output.ts';

export interface ExplainEventOptions extends Omit<ConfigFile, 'file'> {
  readonly command: ExplainEventCommand;
  readonly stdout: Output;
  readonly stderr: Output;
}

/**
 * Returns the exit code: 0 if every change names what it invalidates, 1 if one does not or the message can't be
 * explained.
 */
export async function runExplainEvent(options: ExplainEventOptions): Promise<0 | 1> {
  const { command, stdout, stderr, ...source } = options;
  const loaded = await readConfigFile({ ...source, file: command.file });
  if (loaded.kind === 'invalid') {
    printInvalid(loaded.errors, { json: command.json, stdout, stderr });
    return 1;
  }
  const feed = feedOf(loaded.config, command.feed);
  if (typeof feed === 'string') {
    stderr.write(`weir: ${feed}\n`);
    return 1;
  }
  let body: Uint8Array;
  try {
    body = await readFile(command.event);
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    stderr.write(`weir: ${command.event}: expected a file that can be read, got ${reason}\n`);
    return 1;
  }
  const explained = await explainEvent(loaded.config, feed, body, command.fields);
  stdout.write(command.json ? `${JSON.stringify(explained)}\n` : textOf(explained));
  const isMapped = explained.changes.every(({ unmapped }) => !unmapped);
  return explained.verdict.kind === 'named' && isMapped ? 0 : 1;
}

/** Returns a string with the reason if no feed can be selected. */
function feedOf({ feeds }: Config, name: string | null): FeedConfig | string {
  const names = Object.keys(feeds);
  if (names.length === 0) return 'expected a feed in the configuration, got none';
  if (name === null && names.length > 1) return `expected --feed with one of ${names.join(', ')}, got none`;
  const feed = feeds[name ?? names[0]!];
  return feed ?? `expected --feed with one of ${names.join(', ')}, got ${JSON.stringify(name)}`;
}

function textOf({ feed, format, verdict, changes, tags }: ExplainedEvent): string {
  const lines = [`A message of ${feed}, as ${format}`];
  changes.forEach((change, i) => lines.push('', `Change ${i + 1}`, ...changeLines(change)));
  lines.push('');
  switch (verdict.kind) {
    case 'named':
      lines.push(
        'Invalidates every entry with one of these tags',
        ...tags.map((tag) => `  ${shownTag(tag)}`),
      );
      break;
    case 'nothing':
      lines.push('Invalidates nothing');
      break;
    case 'scope':
      lines.push(`Invalidates everything in the scope of the feed: ${verdict.reason}`);
      lines.push(...tags.map((tag) => `  ${shownTag(tag)}`));
      break;
    default:
      verdict satisfies never;
  }
  return `${lines.join('\n')}\n`;
}

function changeLines({ tags, urls, prefixes, unmapped, missing }: MappedChange): string[] {
  if (unmapped) return ['  no entry of the map matches it'];
  const lines = [
    ...tags.map((tag) => `  tag ${tag}`),
    ...urls.map((url) => `  URL ${url}`),
    ...prefixes.map((prefix) => `  everything below ${prefix}`),
  ];
  return missing.length === 0 ? lines : [...lines, `  it has no value for ${missing.join(', ')}`];
}
