/** A V whose right arm is a rollout: a few devices first, then more. */
export function Logo({ size = 28 }: { size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="8" fill="var(--mantine-color-fjord-8)" />
      <path
        d="M7 8.5 L15 24"
        stroke="#f5f7f6"
        strokeWidth="3.4"
        strokeLinecap="round"
        fill="none"
      />
      <circle cx="17.6" cy="19.6" r="1.5" fill="var(--mantine-color-amber-3)" />
      <circle cx="20.4" cy="14.8" r="2.1" fill="var(--mantine-color-fjord-3)" />
      <circle cx="24" cy="9" r="3" fill="var(--mantine-color-fjord-3)" />
    </svg>
  );
}
