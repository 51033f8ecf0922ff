"""The demonstration: two CNNs keep their answers while two of six workers go."""
