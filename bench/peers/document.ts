/** Replaces the generated part of docs/benchmarks.md and keeps the rest. */
import { readFileSync, writeFileSync } from 'node:fs';
import { format, resolveConfig } from 'prettier';

const BEGIN = '<!-- begin: npm run bench -- --peers --write -->';
const END = '<!-- end -->';

/** Replaces the text between the page's marks. Throws if the page lacks them. */
export function withPart(page: string, part: string): string {
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`the page has no part between ${BEGIN} and ${END}`);
  return `${page.slice(0, begin + BEGIN.length)}\n\n${part.trim()}\n\n${page.slice(end)}`;
}

export async function writePart(path: string, part: string): Promise<void> {
  const page = withPart(readFileSync(path, 'utf8'), part);
  writeFileSync(path, await format(page, { ...(await resolveConfig(path)), filepath: path }));
}
