import { Container, Stack, Text, Title } from "@mantine/core";
import { type ErrorComponentProps, useRouter } from "@tanstack/react-router";
import { Link } from "../components/link.tsx";
import { ErrorState } from "../components/states.tsx";

/** A page that could not be shown. */
export function BrokenPage({ error, reset }: ErrorComponentProps) {
  const router = useRouter();
  return (
    <Container size="sm" py="xl">
      <ErrorState
        error={error instanceof Error ? error : new Error(String(error))}
        retry={() => {
          reset();
          void router.invalidate();
        }}
      />
    </Container>
  );
}

export function UnknownPage() {
  return (
    <Container size="sm" py={64}>
      <Stack align="center" gap="xs">
        <Title order={1} fz={24}>
          There is no such page
        </Title>
        <Text c="dimmed">The address may be mistyped, or what it named is gone.</Text>
        <Link to="/">To the fleet</Link>
      </Stack>
    </Container>
  );
}
