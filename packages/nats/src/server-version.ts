/** True where `version` (as `2.12.1` or `2.12.1-RC.1`, a release candidate counting as its release) is not older than `least`. */
export function isAtLeast(version: string, least: string): boolean {
  const found = parseVersion(version);
  const wanted = parseVersion(least);
  for (const [at, want] of wanted.entries()) {
    const have = found[at] ?? 0;
    if (have !== want) return have > want;
  }
  return true;
}

function parseVersion(version: string): readonly number[] {
  return (/^v?(\d+)\.(\d+)\.(\d+)/.exec(version)?.slice(1) ?? []).map(Number);
}
