"""Operations: deciding on their steps, and executing them."""
