"""Ostinato on Azure Durable Functions."""
