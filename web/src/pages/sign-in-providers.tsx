import { Button, Divider, Stack } from "@mantine/core";
import { IconLogin2 } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { offeredProvidersQuery } from "../api/index.ts";

/** A button for each provider that the platform's administrators have named, and other ways in. */
export function ProviderButtons({
  next,
  children,
}: {
  next: string | undefined;
  children: ReactNode;
}) {
  const { data } = useQuery(offeredProvidersQuery);
  const query = next ? `?${new URLSearchParams({ next })}` : "";
  return (
    <Stack>
      {data?.items.map(({ id, name }) => (
        <Button
          key={id}
          // A page of the server's, not of the console: it sends the browser on.
          component="a"
          href={`/api/v1/auth/providers/${encodeURIComponent(id)}/start${query}`}
          variant="default"
          fullWidth
          leftSection={<IconLogin2 size={16} aria-hidden />}
        >
          Continue with {name}
        </Button>
      ))}
      {children}
      <Divider label="or with a password" />
    </Stack>
  );
}

/** What the server says in the address when it sends the browser back here. */
export const PROVIDER_PROBLEMS: Record<string, string> = {
  cancelled: "Signing in was broken off at the provider.",
  expired: "That took too long, or was begun in another browser. Try again.",
  "bad-answer": "The provider's answer could not be believed. Try again, or tell an administrator.",
  "no-account": "There is no user here for you yet. Ask an administrator.",
  "unverified-email": "The provider has not verified your e-mail address.",
  "foreign-domain": "Your e-mail address is of a domain that does not count here.",
  "other-subject":
    "The user with your e-mail address is somebody else at the provider. Ask an administrator.",
  disabled: "This user is disabled. Ask an administrator.",
  "provider-unavailable": "The provider cannot be reached at the moment.",
  "not-found": "There is no such provider any more.",
  "rate-limited": "Too many attempts. Wait a minute and try again.",
};
